#!/bin/sh
# Usage: fuzz.sh FUZZTIME [TARGETS]
#
# Runs the fuzz targets of the module whose names match the regular expression TARGETS (default: all). FUZZTIME is a value
# for `go test -fuzztime`: a number of executions such as 1000x, or a time such as 1h for each target.
#
# Inputs that reach new code are kept where `go test -fuzz` keeps them: in fuzz/ of Go's build cache. The next run starts
# with them. An input that fails is written to testdata/fuzz of its package.
#
# It compiles the tests of each package once, and not once for each target.
set -eu
fuzztime=${1:?usage: fuzz.sh FUZZTIME [TARGETS], for example 1000x}
targets=${2:-.}
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
corpus=$(go env GOCACHE)/fuzz/$(go list -m)
trap 'rm -rf "$work"' EXIT

# fuzz PACKAGE TARGET runs one target. With a time, package testing sometimes reports "context deadline exceeded" when the
# time ends, without a failing input. That is no failure.
fuzz() {
	code=0
	(cd "$1" && "$work/test" -test.run '^$' -test.fuzz "^$2\$" -test.fuzztime "$fuzztime" \
		-test.fuzzminimizetime 5x -test.fuzzcachedir "$corpus/${1#./}" </dev/null) >"$work/log" 2>&1 || code=$?
	cat "$work/log"
	[ "$code" -ne 0 ] || return 0
	case $fuzztime in
	*x) return "$code" ;;
	esac
	if grep -q 'context deadline exceeded' "$work/log" && ! grep -q 'Failing input written' "$work/log"; then
		return 0
	fi
	return "$code"
}

grep -rlE --include='*_test.go' '^func Fuzz' . | xargs -n 1 dirname | sort -u >"$work/packages"
count=0
while read -r package; do
	names=$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$package"/*_test.go | grep -E -- "$targets" || true)
	[ -n "$names" ] || continue
	go test -c -fuzz=. -o "$work/test" "$package"
	for target in $names; do
		echo "fuzz.sh: $package $target $fuzztime"
		fuzz "$package" "$target"
		count=$((count + 1))
	done
done <"$work/packages"
if [ "$count" -eq 0 ]; then
	echo "fuzz.sh: no fuzz target matches $targets" >&2
	exit 1
fi
echo "fuzz.sh: $count fuzz targets passed; inputs are kept in $corpus"
