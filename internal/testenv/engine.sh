#!/bin/sh
# Makes sure that a container engine answers. If none does, it starts Debian's dockerd in the background. dockerd keeps
# running after this script, until the machine restarts or the CI job ends.
set -eu

log=/var/log/userinfo-dockerd.log
pidfile=/var/run/docker.pid
timeout_seconds=60

engine_answers() {
	docker info >/dev/null 2>&1
}

fail() {
	echo "engine.sh: $1" >&2
	exit 1
}

if engine_answers; then
	echo "engine.sh: a container engine answers" >&2
	exit 0
fi
[ -z "${DOCKER_HOST:-}" ] || fail "DOCKER_HOST is $DOCKER_HOST, but no engine answers there; start that engine or unset DOCKER_HOST"
command -v dockerd >/dev/null || fail "no engine answers, and dockerd is not installed; run $(dirname "$0")/packages.sh"
[ "$(id -u)" = 0 ] || fail "no engine answers; start it, or run this script as root"

# dockerd does not start if its pid file names a running process. A dockerd that was killed leaves its pid file, and another
# process may have that id now.
if [ -e "$pidfile" ] && ! grep -qs dockerd "/proc/$(cat "$pidfile")/cmdline"; then
	rm -f "$pidfile"
fi

echo "engine.sh: starting dockerd (log: $log)" >&2
setsid dockerd >"$log" 2>&1 </dev/null &
pid=$!
waited=0
until engine_answers; do
	if ! kill -0 "$pid" 2>/dev/null || [ "$waited" -ge "$timeout_seconds" ]; then
		tail -n 20 "$log" >&2
		fail "dockerd did not start within $timeout_seconds s (above: the end of $log). It needs permission to mount and to write iptables rules, and no other dockerd may run"
	fi
	sleep 1
	waited=$((waited + 1))
done
echo "engine.sh: dockerd answers" >&2
