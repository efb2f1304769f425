#!/bin/sh
# Fetches the packages of a large closure, 4.5 GB of it NVIDIA's CUDA, into a
# folder that dev/debs.nix reads. They are Debian's, of a release that has CUDA 12.
#
# Usage: dev/cuda.sh FOLDER
set -eu
here=$(cd "$(dirname "$0")" && pwd)
say() { echo "cuda: $*" >&2; }
# shellcheck source=dev/apt.sh
. "$here/apt.sh"

mkdir -p "$1"
top=$(cd "$1" && pwd)
cat "$here/packages" "$here/packages.cuda" >"$top/packages.new"
cmp -s "$top/packages.new" "$top/packages" || mv "$top/packages.new" "$top/packages"
if "$here/debs.sh" --check "$top" "$top/packages"; then
	exit 0
fi
say "fetching CUDA, about 2 GB"
apt_private "$top/apt" "trixie main non-free"
export APT_CONFIG="$top/apt/apt.conf"
apt-get -qq update || die "cannot read the package lists of Debian's trixie"
"$here/debs.sh" "$top" "$top/packages"
