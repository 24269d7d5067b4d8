#!/bin/sh
# Usage: mediawiki.sh VERSION
#
# Makes sure that MediaWiki VERSION (1.39 or 1.43) from Debian's packages is in .build, and prints its directory. Nothing is
# installed on this machine: each version comes from another Debian release. It needs root only if apt-get does.
#
# Every version is the newest one in a Debian release, because security updates must not wait. apt checks the packages
# against the archive's signature. Remove .build/mediawiki-* to get newer packages.
set -eu

usage="usage: mediawiki.sh VERSION, where VERSION is 1.39 or 1.43"
version=${1:?$usage}
case $version in
1.39) suite=bookworm ;;
1.43) suite=trixie ;;
*)
	echo "$usage" >&2
	exit 2
	;;
esac

here=$(cd "$(dirname "$0")" && pwd)
build=$(cd "$here/../.." && pwd)/.build
recipe=$(sha256sum <"$0" | cut -c1-12)
root=$build/mediawiki-$version-$recipe # so that a newer version of this script removes nothing that a test uses
work=$root.work
tree=usr/share/mediawiki

say() {
	echo "mediawiki.sh: $1" >&2
}

fail() {
	[ ! -s "$work/log" ] || tail -n 30 "$work/log" >&2
	say "$1"
	exit 1
}

mkdir -p "$build"
exec 9>"$root.lock" # several tests may need the same version
flock 9
if [ -d "$root" ]; then
	echo "$root/$tree"
	exit 0
fi

# mirror prints the address of the Debian archive that this machine uses.
mirror() {
	apt-get indextargets --no-release-info --format '$(RELEASE) $(REPO_URI)' 'Created-By: Packages' |
		awk -v release="$(. /etc/os-release && echo "$VERSION_CODENAME")" '$1 == release { print $2; exit }'
}

# apt runs apt-get with a package source and a state of its own, as on a machine without any package.
apt() {
	apt-get -q -o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts=/dev/null -o Dir::State::lists="$work/lists" \
		-o Dir::State::status="$work/status" -o Dir::Cache="$work/cache" -o APT::Sandbox::User=root "$@" >>"$work/log" 2>&1 </dev/null
}

say "fetching MediaWiki $version of Debian $suite"
rm -rf "$work"
mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/debs" "$work/files"
: >"$work/log"
: >"$work/status"
archive=$(mirror)
[ -n "$archive" ] || fail "no package source of this machine is a Debian archive; add one to /etc/apt"
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $archive $suite main" >"$work/sources.list"
apt update || fail "the package lists of $suite cannot be had; check the network"
(cd "$work/debs" && apt download mediawiki mediawiki-classes) || fail "the packages cannot be had (above: the end of apt-get's output)"
for deb in "$work"/debs/*.deb; do
	got=$(dpkg-deb -f "$deb" Version)
	case $got in
	1:$version.*) ;;
	*) fail "Debian $suite has $got, and the tests need MediaWiki $version; name another suite in this script" ;;
	esac
	dpkg-deb -x "$deb" "$work/files"
done

# The packages link some folders to places outside of the tree. Links become what they point to; links to nothing, such as
# LocalSettings.php, disappear.
find "$work/files/$tree" -type l | while read -r link; do
	target=$(readlink "$link")
	case $target in
	/*) target=$work/files$target ;;
	*) target=$(dirname "$link")/$target ;;
	esac
	rm "$link"
	[ ! -e "$target" ] || cp -RL "$target" "$link" 2>>"$work/log" || true
done
for folder in extensions images cache; do
	mkdir -p "$work/files/$tree/$folder"
done
mv "$work/files" "$root"
rm -rf "$work"
say "$got is in $root"
echo "$root/$tree"
