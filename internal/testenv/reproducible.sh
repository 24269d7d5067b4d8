#!/bin/sh
# Usage: reproducible.sh
#
# Checks that two releases of the same source are identical, byte for byte: program, Debian package, SBOM and sums. It builds the
# working tree and a copy of it in another directory, one with one processor and a narrow umask, one with all processors, and
# compiles all packages of this module each time. Packages of Go and of other modules come from Go's build cache: they are what Go
# and their authors make of them.
set -eu
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# forget removes the compiled packages of this module from the build cache, in the form of a release build.
forget() {
	CGO_ENABLED=0 go list -trimpath -deps -export -f '{{with .Module}}{{if .Main}}{{$.Export}}{{end}}{{end}}' ./cmd/userinfo |
		xargs rm -f
}

# copy makes a copy of the working tree with the same history.
copy() {
	git clone -q --no-checkout . "$1"
	git -C "$1" update-ref --no-deref HEAD "$(git rev-parse HEAD)"
	git ls-files -z --cached --others --exclude-standard |
		tar --null --files-from=- --ignore-failed-read -cf - 2>/dev/null | tar -xf - -C "$1"
	git -C "$1" reset -q
}

forget
(umask 077 && GOMAXPROCS=1 make -s release DIST="$work/first")
copy "$work/copy"
forget
make -s -C "$work/copy" release DIST="$work/second" >/dev/null

settings=$(go version -m "$work"/first/userinfo-*-linux-"$(go env GOARCH)")
for setting in CGO_ENABLED=0 -trimpath=true; do
	case $settings in
	*"$setting"*) ;;
	*) echo "reproducible.sh: the program was built without $setting; see target build of the Makefile" >&2; exit 1 ;;
	esac
done
diff -r "$work/first" "$work/second" || {
	echo "reproducible.sh: two builds of the same source differ. Look for paths, times or an order of map keys in what the build reads or generates" >&2
	exit 1
}
echo "reproducible.sh: two releases are identical:"
cat "$work/first/SHA256SUMS"
