#!/bin/sh
# Usage: licences.sh GOARCH
#
# Prints the licences of Go and of each module that the program contains: they must accompany the program. It fails if a module has
# none.
set -eu
arch=${1:?usage: licences.sh GOARCH}
cd "$(dirname "$0")/../.."

echo "The program userinfo contains parts of Go and the following modules. Their licences are below."

# licences NAME DIRECTORY prints the licences in a directory.
licences() {
	found=
	for file in "$2"/LICEN[CS]E* "$2"/COPYING* "$2"/NOTICE*; do
		[ -f "$file" ] || continue
		found=yes
		printf '\n%s\n%s: %s\n\n' "----------------------------------------------------------------------" "$1" "$(basename "$file")"
		tr -d '\r\f' <"$file"
	done
	[ -n "$found" ] || {
		echo "licences.sh: $1 has no licence file" >&2
		exit 1
	}
}

licences "Go $(go env GOVERSION)" "$(go env GOROOT)"
GOOS=linux GOARCH=$arch CGO_ENABLED=0 go list -deps \
	-f '{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}} {{.Dir}}{{end}}{{end}}' ./cmd/userinfo | LC_ALL=C sort -u |
	while read -r module version dir; do
		licences "$module $version" "$dir"
	done
