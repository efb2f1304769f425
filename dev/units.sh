#!/bin/sh
# Fetches unit files that are in use: those of the Debian packages below, in
# whatever version this machine's apt offers, for the tests of services/unitfile.
#
# Usage: dev/units.sh FOLDER
#
#   FOLDER/PACKAGE/NAME.service   and .socket, with the templates
#
# Says nothing and is quick when the folder is there.
set -eu

packages='apache2 avahi-daemon bind9 chrony containerd cron cups-daemon dbus
	dnsmasq docker.io fail2ban haproxy mariadb-server memcached mosquitto
	nfs-common nginx-common openssh-server openvpn postfix postgresql-common
	prometheus-node-exporter redis-server rsync rsyslog smartmontools squid
	supervisor systemd systemd-timesyncd tor transmission-daemon udev unbound
	unattended-upgrades uuid-runtime wireguard-tools'

say() { echo "units: $*" >&2; }

[ $# = 1 ] || { say "usage: dev/units.sh FOLDER"; exit 2; }
[ ! -e "$1/.complete" ] || [ -n "$(find "$0" -newer "$1/.complete")" ] || exit 0
mkdir -p "$1"
folder=$(realpath "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
say "fetching the unit files of Debian's packages"

# One by one: a package that another release does not have must not hold up the rest.
for package in $packages; do
	if ! apt-get download -qq -o APT::Sandbox::User=root "$package" >&2; then
		say "apt has no $package"
		continue
	fi
	mkdir tree
	dpkg-deb --fsys-tarfile ./*.deb | tar -xC tree --wildcards \
		'./lib/systemd/system/*' './usr/lib/systemd/system/*' 2>/dev/null || true
	rm -rf ./*.deb "${folder:?}/$package"
	mkdir "$folder/$package"
	find tree -type f \( -name '*.service' -o -name '*.socket' \) -exec cp -t "$folder/$package" {} +
	rm -rf tree
done
find "$folder" -name '*.service' | grep -q . || { say "no unit file was fetched; is there a package list? apt-get update"; exit 1; }
touch "$folder/.complete"
