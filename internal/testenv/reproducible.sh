#!/bin/sh
# Usage: reproducible.sh
#
# Checks that two release builds of the same source are identical, byte for byte. It builds the working tree and a copy of
# it in another directory, one with one processor and one with all, and compiles all packages of this module each time.
# Packages of Go and of other modules come from Go's build cache: they are what Go and their authors make of them.
set -eu
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export GOFLAGS="${GOFLAGS:-} -buildvcs=false" # the copy has no history

# forget removes the compiled packages of this module from the build cache, in the form of a release build.
forget() {
	CGO_ENABLED=0 go list -trimpath -deps -export -f '{{with .Module}}{{if .Main}}{{$.Export}}{{end}}{{end}}' ./cmd/userinfo |
		xargs rm -f
}

forget
GOMAXPROCS=1 make -s build PROGRAM="$work/first"
mkdir "$work/copy"
git ls-files -z --cached --others --exclude-standard | tar --null --files-from=- --ignore-failed-read -cf - 2>/dev/null | tar -xf - -C "$work/copy"
forget
make -s -C "$work/copy" build PROGRAM="$work/second"

settings=$(go version -m "$work/first")
for setting in CGO_ENABLED=0 -trimpath=true; do
	case $settings in
	*"$setting"*) ;;
	*) echo "reproducible.sh: the program was built without $setting; see target build of the Makefile" >&2; exit 1 ;;
	esac
done
cmp "$work/first" "$work/second" || {
	echo "reproducible.sh: two builds of the same source differ. Look for paths, times or an order of map keys in what the build reads or generates" >&2
	exit 1
}
echo "reproducible.sh: two builds are identical: $(sha256sum <"$work/first" | cut -c1-16)"
