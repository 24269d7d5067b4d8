#!/bin/sh
# Installs the Debian packages that `make test` needs and that are missing. Run it as root. It upgrades nothing, and uses
# the network only if a package is missing.
set -eu

# The purpose of each package:
#   docker.io                      the container engine of internal/testcluster (dockerd; the client alone is not enough)
#   iptables iproute2 util-linux   to cut links inside a node's network namespace (nsenter is in util-linux)
#   libfaketime                    to set a node's clock
#   mmdebstrap                     the base of the locally built images
#   nftables                       the firewall rules, loaded in network namespaces of the tests
#   lintian                        checks the Debian package of a release
#   php-* phpunit                  MediaWiki, which mediawiki.sh fetches, and the tests of its extension
#   gcc libc6-dev                  Go's race detector
#   python3-venv                   schemathesis and the libraries for signatures
#   prometheus                     promtool, which tests the alerts; and a Prometheus that scrapes the service
#   curl procps                    the commands of the documents
#   haproxy nginx libnginx-mod-*   proxies in front of the service; the tests start their own processes
#   chromium                       the browser of the tests that use a wiki as people do
#   docker-compose                 deploy/compose
#   redis-server                   a cache from which wikis move, and for comparison in the benchmark; they start their own processes
packages="docker.io iptables iproute2 util-linux libfaketime mmdebstrap nftables lintian
	php-cli php-curl php-mbstring php-intl php-xml php-sqlite3 php-apcu php-redis phpunit
	gcc libc6-dev make git ca-certificates python3-venv curl procps
	haproxy nginx libnginx-mod-stream libnginx-mod-http-js redis-server prometheus docker-compose chromium"
# Any Maven will do, also one that is not from Debian.
command -v mvn >/dev/null || packages="$packages maven openjdk-17-jdk-headless"

installed() {
	[ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

command -v dpkg-query >/dev/null || {
	echo "packages.sh: this machine does not run Debian; install the equivalents of: $(echo $packages)" >&2
	exit 1
}
missing=
for package in $packages; do
	installed "$package" || missing="$missing $package"
done
if [ -z "$missing" ]; then
	echo "packages.sh: nothing is missing" >&2
	exit 0
fi

[ "$(id -u)" = 0 ] || {
	echo "packages.sh: needs root; run as root: apt-get install$missing" >&2
	exit 1
}
echo "packages.sh: installing$missing" >&2
log=$(mktemp)
policy=/usr/sbin/policy-rc.d
ours=
cleanup() {
	rm -f "$log"
	[ -z "$ours" ] || rm -f "$policy"
}
trap cleanup EXIT
# No daemon starts because its package was installed: the tests start processes of their own.
if [ ! -e "$policy" ]; then
	ours=yes
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod 755 "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
# If one package source cannot be reached, the update fails, but the packages may be in another source.
apt-get -q update >"$log" 2>&1 || true
if ! apt-get -q -y --no-install-recommends install $missing >>"$log" 2>&1 </dev/null; then
	tail -n 30 "$log" >&2
	echo "packages.sh: apt-get could not install$missing (above: the end of its output)." >&2
	echo "packages.sh: check the package sources and the network, then run this script again." >&2
	exit 1
fi
echo "packages.sh: installed$missing" >&2
