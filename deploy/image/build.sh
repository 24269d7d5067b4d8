#!/bin/sh
# Usage: build.sh NAME
#
# Builds the container image NAME, such as userinfo:v1.2.3, from the program of `make build`. It needs Go and a container
# engine, and pulls nothing.
#
# Two builds of one commit have the same layer, byte for byte: the program is reproducible, and its file has the time of the
# commit. The id of the image differs, because the engine records when it was built.
set -eu
name=${1:?usage: build.sh NAME, for example userinfo:v1.2.3}
cd "$(dirname "$0")/../.."
context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT

make -s build PROGRAM="$context/userinfo"
cp deploy/image/Dockerfile "$context/"

# The time and the commit are unknown in a source tree without its history.
created=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
commit=$(git rev-parse HEAD 2>/dev/null || echo unknown)
[ -z "$(git status --porcelain 2>/dev/null)" ] || commit="$commit-modified"
version=$("$context/userinfo" version | cut -d ' ' -f 2)

chmod 0755 "$context/userinfo"
touch -d "@$created" "$context/userinfo"
# The classic builder, because the other one adds a record of the machine and the time to the image.
DOCKER_BUILDKIT=${DOCKER_BUILDKIT:-0} docker build --quiet --no-cache --tag "$name" \
	--label "org.opencontainers.image.version=$version" \
	--label "org.opencontainers.image.revision=$commit" \
	--label "org.opencontainers.image.created=$(date -u -d "@$created" +%Y-%m-%dT%H:%M:%SZ)" \
	"$context" >/dev/null
echo "build.sh: built $name, version $version, commit $commit"
