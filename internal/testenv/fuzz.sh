#!/bin/sh
# Usage: fuzz.sh FUZZTIME
#
# Runs every fuzz target of the module. FUZZTIME is a value for `go test -fuzztime`: use a number of executions, such as
# 5000x. With a duration, a target sometimes fails with "context deadline exceeded" when the time ends.
#
# It compiles the tests of each package once, and not once for each target.
set -eu
fuzztime=${1:?usage: fuzz.sh FUZZTIME, for example 5000x}
cd "$(dirname "$0")/../.."
program=$(mktemp)
cache=$(go env GOCACHE)/fuzz
trap 'rm -f "$program"' EXIT

grep -rl --include='*_test.go' '^func Fuzz' . | xargs -n 1 dirname | sort -u | while read -r package; do
	go test -c -fuzz=. -o "$program" "$package"
	for target in $(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$package"/*_test.go); do
		echo "fuzz.sh: $package $target $fuzztime"
		(cd "$package" && "$program" -test.run '^$' -test.fuzz "^$target\$" -test.fuzztime "$fuzztime" \
			-test.fuzzminimizetime 5x -test.fuzzcachedir "$cache/$package" </dev/null)
	done
done
echo "fuzz.sh: every fuzz target passed"
