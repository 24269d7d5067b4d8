#!/bin/sh
# Makes sure that the container engine has an image of Debian 12 that boots with systemd, and prints the name of the image.
#
# Tests of the Debian package and of the systemd unit use it: see internal/e2e/debian. A build takes about 20 s, and runs again
# when this script changes. Remove the image to get newer Debian packages.
set -eu

image=userinfo-debian:12
here=$(cd "$(dirname "$0")" && pwd)

# Purpose of each package: systemd-sysv and dbus boot the machine; curl, iproute2, openssl, procps and sudo are for commands of the
# documents; logrotate reads the package's configuration.
include=systemd,systemd-sysv,dbus,ca-certificates,curl,iproute2,logrotate,openssl,procps,sudo

# Units that would change the machine that runs the container, or wait for hardware.
masked="systemd-udevd.service systemd-udev-trigger.service systemd-modules-load.service systemd-sysctl.service systemd-logind.service
	systemd-remount-fs.service systemd-timesyncd.service systemd-networkd-wait-online.service getty.target console-getty.service
	sys-kernel-config.mount sys-kernel-debug.mount sys-kernel-tracing.mount dev-hugepages.mount dev-mqueue.mount
	proc-sys-fs-binfmt_misc.automount apt-daily.timer apt-daily-upgrade.timer"

say() {
	echo "debian-image.sh: $1" >&2
}

docker info >/dev/null 2>&1 || { say "no container engine answers; run $here/engine.sh"; exit 1; }
recipe=$(sha256sum <"$0" | cut -c1-16)
if [ "$(docker image inspect -f '{{index .Config.Labels "userinfo.recipe"}}' "$image" 2>/dev/null)" = "$recipe" ]; then
	echo "$image"
	exit 0
fi
command -v mmdebstrap >/dev/null || { say "mmdebstrap is not installed; run $here/packages.sh"; exit 1; }
say "building $image"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# shellcheck disable=SC2086 # one word for each unit
if ! mmdebstrap --variant=minbase --include="$include" \
	--customize-hook='chroot "$1" systemctl set-default multi-user.target' \
	--customize-hook="chroot \"\$1\" systemctl mask $(echo $masked)" \
	--customize-hook=': >"$1/etc/machine-id"' \
	bookworm "$work/root.tar" >"$work/log" 2>&1 </dev/null; then
	tail -n 30 "$work/log" >&2
	say "mmdebstrap failed (above: the end of its output); check the network and the package sources, then run this script again"
	exit 1
fi
docker import --change 'CMD ["/lib/systemd/systemd"]' --change 'ENV container=docker' \
	--change "LABEL userinfo.recipe=$recipe" "$work/root.tar" "$image" >/dev/null
say "built $image"
echo "$image"
