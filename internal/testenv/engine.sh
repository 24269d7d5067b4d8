#!/bin/sh
# Makes sure that a container engine answers. Where none does and Debian's dockerd is installed, starts it in the
# background and leaves it running; it outlives this script, but neither a restart of the machine nor a CI job.
set -eu

log=/var/log/userinfo-dockerd.log
pidfile=/var/run/docker.pid
wait_seconds=60

answers() {
	docker info >/dev/null 2>&1
}

fail() {
	echo "engine.sh: $1" >&2
	exit 1
}

answers && exit 0
[ -z "${DOCKER_HOST:-}" ] || fail "DOCKER_HOST is $DOCKER_HOST, and nothing answers there; start that engine or unset DOCKER_HOST"
command -v dockerd >/dev/null || fail "no engine answers and there is no dockerd; run $(dirname "$0")/packages.sh"
[ "$(id -u)" = 0 ] || fail "no engine answers; start it (dockerd needs root), or run this as root"

# A dockerd that was killed leaves its pid file, and the next one refuses to start where that number lives again.
if [ -e "$pidfile" ] && ! grep -qs dockerd "/proc/$(cat "$pidfile")/cmdline"; then
	rm -f "$pidfile"
fi

echo "engine.sh: starting dockerd (log: $log)" >&2
setsid dockerd >"$log" 2>&1 </dev/null &
pid=$!
waited=0
until answers; do
	if ! kill -0 "$pid" 2>/dev/null || [ "$waited" -ge "$wait_seconds" ]; then
		tail -n 20 "$log" >&2
		fail "dockerd did not come up within $wait_seconds s (above: the end of $log). Often: not enough privileges (it needs to mount, and to write iptables rules), or another dockerd in the way"
	fi
	sleep 1
	waited=$((waited + 1))
done
