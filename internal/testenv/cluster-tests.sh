#!/bin/sh
# Usage: cluster-tests.sh PACKAGE...
#
# Runs all tests of these packages, with their integration tests, one package after another. It compiles all test programs first, at
# the same time. `go test -p 1` would compile one after another too. It prints what a package printed when the package has ended,
# because another cluster-tests.sh may run at the same time. Artifacts of the tests, such as screenshots, are in .build/_artifacts
# afterwards.
set -eu
cd "$(dirname "$0")/../.."
build=$PWD/.build
rm -rf "$build/_artifacts"
mkdir -p "$build"
programs=$(mktemp -d "$build/tests.XXXXXX")
trap 'rm -rf "$programs"' EXIT

packages=$(go list -f '{{.Dir}}' -tags integration "$@")
echo "cluster-tests.sh: compiling the tests of" "$@"
# shellcheck disable=SC2086 # one word for each package; the paths of this module have no spaces
go test -c -tags integration -o "$programs/" $packages

failed=
for package in $packages; do
	name=$(basename "$package")
	log=$programs/$name.log
	began=$(date +%s)
	if (cd "$package" && "$programs/$name.test" -test.timeout 25m -test.paniconexit0 -test.artifacts -test.outputdir "$build") >"$log" 2>&1; then
		result=ok
	else
		result=FAILED
		failed="$failed $name"
	fi
	cat "$log"
	echo "cluster-tests.sh: $result $name ($(($(date +%s) - began)) s)"
done
[ -z "$failed" ] || {
	echo "cluster-tests.sh: failed:$failed" >&2
	exit 1
}
