#!/bin/sh
# Makes sure that the container engine has an image of Cassandra 5.0.9, and prints the name of the image.
#
# It prefers the official image, if the engine has it or can pull it. Otherwise it builds an image from Debian packages and
# Cassandra's published jars. A build takes about a minute, and runs again when this script, a file of cassandra/ or a file of $shared changes.
# internal/testcluster looks for the same two names in the same order.
#
# Every input has one version. The engine checks the hash of the official image, jars.sha256 has the hashes of the jars, and
# apt checks the Debian packages against the archive's signature. docs/development.md says how to change the version.
set -eu

official=cassandra:5.0.9@sha256:c89d12282b69b38a78f23c37886fc35e732f33b7c18801016c0334e4c7cabf64
local=userinfo-cassandra:5.0
pull_start_seconds=20 # how long a pull may take until its first layer
here=$(cd "$(dirname "$0")" && pwd)
shared="../testcluster/conf/jvm17-server.options ../testcluster/conf/logback.xml" # seen from here
build=$here/../../.build/cassandra-image

say() {
	echo "image.sh: $1" >&2
}

# pull_official pulls the official image. It fails soon if no registry can be reached, but waits for a slow download.
pull_official() {
	log=$(mktemp)
	timeout 600 docker pull "$official" >"$log" 2>&1 &
	pid=$!
	waited=0
	while kill -0 "$pid" 2>/dev/null; do
		if [ "$waited" -ge "$pull_start_seconds" ] && ! grep -q 'Pulling fs layer\|Already exists' "$log"; then
			kill "$pid" 2>/dev/null || true
			break
		fi
		sleep 1
		waited=$((waited + 1))
	done
	pulled=0
	wait "$pid" 2>/dev/null || pulled=1
	rm -f "$log"
	return "$pulled"
}

# recipe_hash prints a hash of everything that the local image is built from.
recipe_hash() {
	(cd "$here" && cat image.sh cassandra/* $shared | sha256sum | cut -c1-16)
}

# local_is_current succeeds if the local image was built from the current recipe.
local_is_current() {
	[ "$(docker image inspect -f '{{index .Config.Labels "userinfo.recipe"}}' "$local" 2>/dev/null)" = "$recipe" ]
}

# step NAME COMMAND... runs a command and shows the end of its output if it fails.
step() {
	what=$1
	shift
	if ! "$@" >"$build/log" 2>&1 </dev/null; then
		tail -n 30 "$build/log" >&2
		say "$what failed (above: the end of its output); check the network and the package sources, then run this script again"
		exit 1
	fi
}

# build_local builds the local image.
build_local() {
	for command in mmdebstrap mvn; do
		command -v "$command" >/dev/null || { say "$command is not installed; run $here/packages.sh"; exit 1; }
	done
	rm -rf "$build"
	mkdir -p "$build/context"
	(cd "$here" && cp cassandra/Dockerfile cassandra/archive-classes cassandra/cassandra cassandra/nodetool $shared "$build/context/")
	# bookworm, whatever this machine runs: it is the last Debian release with JDK 17.
	step "building the Debian base" mmdebstrap --variant=minbase --include=openjdk-17-jre-headless \
		bookworm "$build/context/base.tar"
	step "fetching Cassandra's jars" mvn -B -q --strict-checksums -f "$here/cassandra/pom.xml" dependency:copy-dependencies \
		-DincludeScope=runtime -DoutputDirectory="$build/context/lib"
	rm -f "$build"/context/lib/*-osx-* "$build"/context/lib/*-windows-*
	(cd "$build/context/lib" && LC_ALL=C sha256sum -- *) >"$build/jars.sha256"
	step "comparing the jars with $here/cassandra/jars.sha256" diff "$here/cassandra/jars.sha256" "$build/jars.sha256"
	step "building the image" env DOCKER_BUILDKIT=0 docker build --label "userinfo.recipe=$recipe" -t "$local" "$build/context"
	rm -rf "$build"
}

docker info >/dev/null 2>&1 || { say "no container engine answers; run $here/engine.sh"; exit 1; }
if docker image inspect "$official" >/dev/null 2>&1; then
	echo "$official"
	exit 0
fi
recipe=$(recipe_hash)
if local_is_current; then
	echo "$local"
	exit 0
fi
if pull_official; then
	echo "$official"
	exit 0
fi
say "$official cannot be pulled; building $local"
build_local
say "built $local"
echo "$local"
