#!/bin/sh
# Makes sure that there is an image of Cassandra 5.0 and prints its name: the official one where it is there or can be
# pulled, else one made here from Debian packages and Cassandra's published jars (about a minute, once; again when a
# file of the recipe changes). internal/testcluster looks for the same two names in the same order.
set -eu

official=cassandra:5.0
local=userinfo-cassandra:5.0
pull_answer_seconds=20
here=$(cd "$(dirname "$0")" && pwd)
build=$here/../../.build/cassandra-image

say() {
	echo "image.sh: $1" >&2
}

# pull fails fast where no registry can be reached, but lets a slow download that has begun go on.
pull() {
	log=$(mktemp)
	timeout 600 docker pull "$official" >"$log" 2>&1 &
	pid=$!
	waited=0
	while kill -0 "$pid" 2>/dev/null; do
		if [ "$waited" -ge "$pull_answer_seconds" ] && ! grep -q 'Pulling fs layer\|Already exists' "$log"; then
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

recipe_hash() {
	(cd "$here" && cat image.sh cassandra/* | sha256sum | cut -c1-16)
}

have_local() {
	[ "$(docker image inspect -f '{{index .Config.Labels "userinfo.recipe"}}' "$local" 2>/dev/null)" = "$recipe" ]
}

# step runs a command whose output only matters when it fails.
step() {
	what=$1
	shift
	if ! "$@" >"$build/log" 2>&1 </dev/null; then
		tail -n 30 "$build/log" >&2
		say "$what failed (above: the end of its output); check the network and the package sources, then run this again"
		exit 1
	fi
}

make_local() {
	for command in mmdebstrap mvn; do
		command -v "$command" >/dev/null || { say "there is no $command; run $here/packages.sh"; exit 1; }
	done
	rm -rf "$build"
	mkdir -p "$build/context"
	cp "$here"/cassandra/Dockerfile "$here"/cassandra/cassandra "$here"/cassandra/nodetool "$build/context/"
	# The suite is fixed, so that the image does not depend on the machine that makes it: bookworm is the last with JDK 17.
	step "making the Debian base" mmdebstrap --variant=minbase --include=openjdk-17-jre-headless \
		bookworm "$build/context/base.tar"
	step "fetching Cassandra's jars" mvn -B -q -f "$here/cassandra/pom.xml" dependency:copy-dependencies \
		-DincludeScope=runtime -DoutputDirectory="$build/context/lib"
	rm -f "$build"/context/lib/*-osx-* "$build"/context/lib/*-windows-*
	step "building the image" env DOCKER_BUILDKIT=0 docker build --label "userinfo.recipe=$recipe" -t "$local" "$build/context"
	rm -rf "$build"
}

docker info >/dev/null 2>&1 || { say "no container engine answers; run $here/engine.sh"; exit 1; }
if docker image inspect "$official" >/dev/null 2>&1; then
	echo "$official"
	exit 0
fi
recipe=$(recipe_hash)
if have_local; then
	echo "$local"
	exit 0
fi
if pull; then
	echo "$official"
	exit 0
fi
say "$official cannot be pulled here; making $local"
make_local
echo "$local"
