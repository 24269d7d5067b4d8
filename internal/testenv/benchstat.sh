#!/bin/sh
# Usage: benchstat.sh COMMIT BENCHMARKS BENCHSTAT PACKAGE...
#
# Compares the benchmarks of another commit with those of the working tree. BENCHMARKS is a pattern for `go test -bench`,
# BENCHSTAT the module of the benchstat command. The two sides take turns, so that other load on the machine affects both.
set -eu
if [ $# -lt 4 ] || [ -z "$1" ]; then
	echo "usage: make benchstat OLD=COMMIT [BENCH=Get] [IN=./api]" >&2
	exit 2
fi
commit=$1
benchmarks=$2
benchstat=$3
shift 3
rounds=6

cd "$(dirname "$0")/../.."
dir=$(mktemp -d)
trap 'git worktree remove --force "$dir/tree" 2>/dev/null || true; rm -rf "$dir"' EXIT
git worktree add --quiet --detach "$dir/tree" "$commit"

round=1
while [ "$round" -le "$rounds" ]; do
	echo "benchstat.sh: round $round of $rounds" >&2
	(cd "$dir/tree" && go test -run '^$' -bench "$benchmarks" -benchmem -benchtime 0.3s "$@") >>"$dir/old"
	go test -run '^$' -bench "$benchmarks" -benchmem -benchtime 0.3s "$@" >>"$dir/new"
	round=$((round + 1))
done
cd "$dir" # benchstat names the columns like the files
go run "$benchstat" old new
