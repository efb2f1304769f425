#!/bin/sh
# Fetches a Docker that can keep its images in containerd's store, which Debian
# 12's cannot, into FOLDER/bin. It runs beside the machine's own, and takes its
# runc. Says nothing and is quick when it is there.
#
# Usage: dev/docker.sh FOLDER
set -eu
here=$(cd "$(dirname "$0")" && pwd)
say() { echo "docker: $*" >&2; }
# shellcheck source=dev/apt.sh
. "$here/apt.sh"

[ ! -e "$1/bin/dockerd" ] || exit 0
mkdir -p "$1"
top=$(cd "$1" && pwd)
say "fetching Debian trixie's, 60 MB"
apt_private "$top/apt" "trixie main"
export APT_CONFIG="$top/apt/apt.conf"
apt-get -qq update || die "cannot read the package lists of Debian's trixie"
cd "$top"
apt-get download -qq docker.io containerd
for deb in docker.io_*.deb containerd_*.deb; do
	dpkg-deb -x "$deb" unpacked
done
rm -rf bin ./*.deb apt
mkdir bin.new
mv unpacked/usr/bin/containerd* unpacked/usr/sbin/dockerd bin.new/
rm -rf unpacked
mv bin.new bin
