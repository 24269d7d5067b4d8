#!/bin/sh
# Usage: cluster-tests.sh PACKAGE...
#
# Runs all tests of these packages, with their integration tests, one package after another. It compiles all test programs first, at
# the same time. `go test -p 1` would compile one after another too. Artifacts of the tests, such as screenshots, are in
# .build/_artifacts afterwards.
set -eu
cd "$(dirname "$0")/../.."
build=$PWD/.build
programs=$build/tests
rm -rf "$programs" "$build/_artifacts"
mkdir -p "$programs"

packages=$(go list -f '{{.Dir}}' -tags integration "$@")
echo "cluster-tests.sh: compiling the tests of" $(echo "$packages" | wc -l) "packages"
# shellcheck disable=SC2086 # one word for each package; the paths of this module have no spaces
go test -c -tags integration -o "$programs/" $packages

failed=
for package in $packages; do
	name=$(basename "$package")
	program=$programs/$name.test
	began=$(date +%s)
	if (cd "$package" && "$program" -test.timeout 25m -test.paniconexit0 -test.artifacts -test.outputdir "$build"); then
		result=ok
	else
		result=FAILED
		failed="$failed $name"
	fi
	echo "cluster-tests.sh: $result $name ($(($(date +%s) - began)) s)"
done
[ -z "$failed" ] || {
	echo "cluster-tests.sh: failed:$failed" >&2
	exit 1
}
