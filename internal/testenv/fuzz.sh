#!/bin/sh
# Runs every fuzz target of the module for a while: fuzz.sh DURATION
set -eu
duration=${1:?usage: fuzz.sh DURATION, such as 5s}
cd "$(dirname "$0")/../.."
grep -rl --include='*_test.go' '^func Fuzz' . | while read -r file; do
	package=$(dirname "$file")
	sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$file" | while read -r target; do
		go test -run '^$' -fuzz "^$target\$" -fuzztime "$duration" -fuzzminimizetime 5x "$package" </dev/null
	done
done
