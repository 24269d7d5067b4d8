#!/bin/sh
# Usage: version.sh [flags]
#
# Prints the version of the source tree. With flags, it prints the flags of the linker that store version, commit and date of the
# commit in the program. They do not depend on Go's own record of the commit, which a linked worktree does not have and GOFLAGS can
# turn off.
#
#   1.2.3                        the commit has the tag v1.2.3
#   1.2.3+45.g0123456789ab       45 commits after that tag
#   0.0.0+45.g0123456789ab       the history has no such tag, and 45 commits
#   1.2.3+45.g0123456789ab.modified   there are changes that are not committed
#   0.0.0+unknown                the source tree has no history
#
# Debian sorts these versions in the order of time. RELEASE_VERSION overrides the version, for tests.
set -eu
cd "$(dirname "$0")/../.."

# version prints the version.
version() {
	if [ -n "${RELEASE_VERSION:-}" ]; then
		echo "$RELEASE_VERSION"
		return
	fi
	if ! commit=$(git rev-parse --short=12 HEAD 2>/dev/null); then
		echo 0.0.0+unknown
		return
	fi
	if described=$(git describe --tags --long --abbrev=12 --match 'v[0-9]*' 2>/dev/null); then
		version=$(echo "$described" | sed 's/^v//; s/-0-g[0-9a-f]*$//; s/-\([0-9]*\)-g\([0-9a-f]*\)$/+\1.g\2/')
	else
		version=0.0.0+$(git rev-list --count HEAD).g$commit
	fi
	if [ -n "$(git status --porcelain)" ]; then
		case $version in
		*+*) version=$version.modified ;;
		*) version=$version+modified ;;
		esac
	fi
	echo "$version"
}

if [ "${1:-}" != flags ]; then
	version
	exit 0
fi
flags="-s -w -X main.version=$(version)"
if commit=$(git rev-parse HEAD 2>/dev/null); then
	date=$(TZ=UTC git log -1 --format=%cd --date=format-local:%Y-%m-%dT%H:%M:%SZ)
	flags="$flags -X main.commit=$commit -X main.date=$date"
fi
echo "$flags"
