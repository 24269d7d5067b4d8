#!/bin/sh
# Installs, on Debian and as root, the packages that the whole test run needs and that are not there yet.
# Says nothing and touches no network where nothing is missing. It does not upgrade what is there.
set -eu

# What each is for:
#   docker.io                      the container engine of internal/testcluster (dockerd; the client alone is not enough)
#   iptables iproute2 util-linux   cutting links inside a node's network namespace (nsenter is in util-linux)
#   libfaketime                    setting a node's clock
#   mmdebstrap                     the base of the locally made Cassandra image
#   php-* mediawiki-classes        the real client, MediaWiki's RESTBagOStuff
#   gcc libc6-dev                  Go's race detector
#   python3-venv                   the OpenAPI validator
#   curl procps                    asking the service by hand
#   haproxy nginx libnginx-mod-*   the proxies in front of it; tests start their own, with configurations of their own
#   redis-server                   what the benchmark compares with; it starts its own
packages="docker.io iptables iproute2 util-linux libfaketime mmdebstrap
	php-cli php-curl php-mbstring php-psr-log mediawiki-classes
	gcc libc6-dev make git ca-certificates python3-venv curl procps
	haproxy nginx libnginx-mod-stream libnginx-mod-http-js redis-server"
# A Maven that did not come from Debian serves as well.
command -v mvn >/dev/null || packages="$packages maven openjdk-17-jdk-headless"

installed() {
	[ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

command -v dpkg-query >/dev/null || {
	echo "packages.sh: this is not Debian; install the equivalents of: $(echo $packages)" >&2
	exit 1
}
missing=
for package in $packages; do
	installed "$package" || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

[ "$(id -u)" = 0 ] || {
	echo "packages.sh: not root; run as root: apt-get install$missing" >&2
	exit 1
}
echo "packages.sh: installing$missing" >&2
log=$(mktemp)
trap 'rm -f "$log"' EXIT
export DEBIAN_FRONTEND=noninteractive
# One source that cannot be reached must not stop the others, so a failed update decides nothing yet.
apt-get -q update >"$log" 2>&1 || true
if ! apt-get -q -y --no-install-recommends install $missing >>"$log" 2>&1 </dev/null; then
	tail -n 30 "$log" >&2
	echo "packages.sh: apt-get could not install$missing (above: the end of what it said)." >&2
	echo "packages.sh: check the machine's package sources and its network, then run this again." >&2
	exit 1
fi
