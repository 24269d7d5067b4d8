#!/bin/sh
# Usage: release.sh DIRECTORY NFPM CYCLONEDX
#
# Builds a release for Linux into DIRECTORY, for the architecture GOARCH (default: this machine's):
#
#   userinfo-VERSION-linux-ARCH            the static program
#   userinfo_VERSION-1_ARCH.deb            the Debian package
#   userinfo-VERSION-linux-ARCH.cdx.json   the modules in the program, with hashes and licences (SBOM, CycloneDX)
#   SHA256SUMS
#
# NFPM and CYCLONEDX are the Go packages of the tools, with their versions.
#
# The same commit and the same version of Go give the same bytes in every directory, on every machine. So nothing here may depend
# on the time, the path, the umask, the language or the order of a directory. `make reproducible` checks it.
set -eu
usage="usage: release.sh DIRECTORY NFPM CYCLONEDX"
dist=${1:?$usage}
nfpm=${2:?$usage}
cyclonedx=${3:?$usage}

umask 022
export LC_ALL=C TZ=UTC
mkdir -p "$dist"
dist=$(cd "$dist" && pwd)
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
	echo "release.sh: $1" >&2
	exit 1
}

version=$(internal/release/version.sh)
arch=$(go env GOARCH)
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)} || fail "the source tree has no history; set SOURCE_DATE_EPOCH"
export SOURCE_DATE_EPOCH
case $version in
*+*) ;; # not a release
*) grep -q "^## \[$version\]" CHANGELOG.md || [ -n "${RELEASE_VERSION:-}" ] || fail "CHANGELOG.md has no section [$version]" ;;
esac

# The tools below run on this machine. cyclonedx-gomod records the hash of its own program, so that program must be reproducible too.
GOOS=linux GOARCH=$arch make -s build PROGRAM="$work/userinfo"
unset GOOS GOARCH
export CGO_ENABLED=0 GOFLAGS="${GOFLAGS:-} -trimpath"

# The root of the package.
root=$work/root
put() { # MODE FILE PATH-IN-THE-PACKAGE
	install -D -m "$1" "$2" "$root/$3"
}
share=usr/share
doc=$share/doc/userinfo

put 0755 "$work/userinfo" usr/bin/userinfo
for unit in userinfo.service userinfo.socket; do
	sed 's,/usr/local/bin/userinfo,/usr/bin/userinfo,' "deploy/$unit" >"$work/unit"
	put 0644 "$work/unit" "usr/lib/systemd/system/$unit"
done
put 0644 deploy/debian/sysusers usr/lib/sysusers.d/userinfo.conf

make -s man MANDIR="$work/man"
for page in "$work"/man/*.1; do
	gzip -9n "$page"
	put 0644 "$page.gz" "$share/man/man1/$(basename "$page").gz"
done
complete() { # SHELL PATH-IN-THE-PACKAGE
	go run -tags man ./cmd/userinfo completion "$1" >"$work/completion"
	put 0644 "$work/completion" "$2"
}
complete bash $share/bash-completion/completions/userinfo
complete zsh $share/zsh/vendor-completions/_userinfo
complete fish $share/fish/vendor_completions.d/userinfo.fish

for file in README.md docs/*.md; do
	put 0644 "$file" "$doc/$file"
done
for file in deploy/*.yaml deploy/*.cfg deploy/*.conf deploy/*.js deploy/cassandra/*.yaml deploy/cassandra/*.options \
	deploy/prometheus/*.yaml deploy/prometheus/rules/*.yaml deploy/grafana/*.json; do
	put 0644 "$file" "$doc/examples/${file#deploy/}"
done
put 0644 deploy/debian/copyright $doc/copyright
internal/release/licences.sh "$arch" >"$work/licences"
put 0644 "$work/licences" $doc/third-party-licences
put 0644 deploy/debian/lintian-overrides $share/lintian/overrides/userinfo

# Debian does not allow - in a version, and sorts ~ before everything.
debian=$(echo "$version" | tr - '~')
put 0644 CHANGELOG.md $doc/changelog
cat >"$work/changelog.Debian" <<END
userinfo ($debian-1) stable; urgency=medium

  * Version $version. See changelog.gz beside this file.

 -- $(sed -n 's/^maintainer: //p' deploy/debian/nfpm.yaml)  $(date -u -d "@$SOURCE_DATE_EPOCH" '+%a, %d %b %Y %H:%M:%S +0000')
END
put 0644 "$work/changelog.Debian" $doc/changelog.Debian
gzip -9n "$root/$doc/changelog" "$root/$doc/changelog.Debian"

# Builds the results beside the directory first, so that a failure leaves the old ones.
out=$work/out
mkdir "$out"
name=userinfo-$version-linux-$arch
cp "$work/userinfo" "$out/$name"
go run "$cyclonedx" bin -json -noserial -notimestamp -std -licenses -version "$version" -output "$out/$name.cdx.json" "$work/userinfo" \
	2>"$work/log" || { cat "$work/log" >&2; fail "cyclonedx-gomod failed"; }
put 0644 "$out/$name.cdx.json" $doc/sbom.cdx.json

mkdir "$work/etc" "$work/scripts"
cp deploy/minimal.yaml "$work/etc/userinfo.yaml"
cp deploy/userinfo.logrotate "$work/etc/logrotate"
cp deploy/debian/postinst deploy/debian/prerm deploy/debian/postrm "$work/scripts/"
cp deploy/debian/nfpm.yaml "$work/"
(cd "$work" && ARCH=$arch VERSION=$debian go run "$nfpm" package --packager deb --target "$out/" >log 2>&1) || {
	cat "$work/log" >&2
	fail "nfpm failed"
}
(cd "$out" && sha256sum -- * >"$work/SHA256SUMS" && mv "$work/SHA256SUMS" .)

rm -f "$dist"/userinfo[-_]* "$dist/SHA256SUMS"
mv "$out"/* "$dist/"
echo "release.sh: version $version is in $dist:"
(cd "$dist" && ls -l userinfo[-_]* SHA256SUMS)
