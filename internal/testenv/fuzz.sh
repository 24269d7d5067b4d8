#!/bin/sh
# Runs every fuzz target of the module for a while: fuzz.sh HOW-MUCH, as `go test -fuzztime` takes it. Give a number of runs
# (5000x): a duration that ends while a worker answers is now and then reported as a failure of the target, "context
# deadline exceeded".
set -eu
much=${1:?usage: fuzz.sh HOW-MUCH, such as 5000x}
cd "$(dirname "$0")/../.."
grep -rl --include='*_test.go' '^func Fuzz' . | while read -r file; do
	package=$(dirname "$file")
	sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$file" | while read -r target; do
		go test -run '^$' -fuzz "^$target\$" -fuzztime "$much" -fuzzminimizetime 5x "$package" </dev/null
	done
done
