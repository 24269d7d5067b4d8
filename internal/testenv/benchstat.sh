#!/bin/sh
# Compares benchmarks: benchstat.sh COMMIT BENCHMARKS BENCHSTAT PACKAGE... . Both sides run in turns, so that what else the
# machine does is shared out.
set -eu
if [ $# -lt 4 ] || [ -z "$1" ]; then
	echo "usage: make benchstat OLD=COMMIT [BENCH=Get] [IN=./api]" >&2
	exit 2
fi
old=$1 which=$2 benchstat=$3
shift 3
cd "$(dirname "$0")/../.."
dir=$(mktemp -d)
trap 'git worktree remove --force "$dir/tree" 2>/dev/null || true; rm -rf "$dir"' EXIT
git worktree add --quiet --detach "$dir/tree" "$old"
for round in 1 2 3 4 5 6; do
	echo "round $round of 6" >&2
	(cd "$dir/tree" && go test -run '^$' -bench "$which" -benchmem -benchtime 0.3s "$@") >>"$dir/old"
	go test -run '^$' -bench "$which" -benchmem -benchtime 0.3s "$@" >>"$dir/new"
done
cd "$dir" # so that old and new are what the columns are called
go run "$benchstat" old new
