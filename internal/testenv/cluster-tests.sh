#!/bin/sh
# Usage: cluster-tests.sh PACKAGE...
#
# Runs all tests of these packages, with their integration tests, one package after another. It compiles all test programs first, at
# the same time. `go test -p 1` would compile one after another too.
set -eu
cd "$(dirname "$0")/../.."
programs=$PWD/.build/tests
rm -rf "$programs"
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
	if (cd "$package" && "$program" -test.timeout 25m -test.paniconexit0); then
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
