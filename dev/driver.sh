#!/bin/sh
# The host side of NVIDIA's driver injection, on a machine without a GPU.
#
#   dev/driver.sh prepare [535] [550]   makes build/driver; instant when it is there
#   dev/driver.sh run-args              prepares, then prints the arguments that
#                                       make "podman run" inject driver 550
#
# Everything is real but the kernel module: NVIDIA's own container toolkit, built
# from source, and the driver's user-space files as Debian packages them
# (non-free, so they are fetched when needed and never kept in the repository).
# Against a host laid out like this, nvidia-smi ends with status 9, "couldn't
# communicate with the NVIDIA driver", once a container finds all its libraries.
#
#   build/driver/bin               the toolkit
#   build/driver/535, 550          one host each:
#     version                      its full version
#     host/usr/bin, usr/lib/…      programs and libraries as a driver installs them
#     host/dev                     the device nodes of a machine with one GPU
#     cdi/nvidia.yaml              the CDI spec that nvidia-ctk made of it
#     runtime                      an OCI runtime that injects by that spec
set -eu

toolkit=v1.20.1
# Debian's release that carries a branch of the driver.
suite_535=bookworm
suite_550=trixie
packages='nvidia-smi nvidia-cuda-mps libcuda1 libcudadebugger1 libnvcuvid1
	libnvidia-allocator1 libnvidia-cfg1 libnvidia-encode1 libnvidia-ml1
	libnvidia-nvvm4 libnvidia-opticalflow1 libnvidia-pkcs11-openssl3
	libnvidia-ptxjitcompiler1'
packages_550=libnvidia-gpucomp

here=$(cd "$(dirname "$0")" && pwd)
top=$(dirname "$here")/build/driver

say() { echo "driver: $*" >&2; }
# shellcheck source=dev/apt.sh
. "$here/apt.sh"

# need COMMAND PACKAGE… installs the packages when the command is missing.
need() {
	PATH=$PATH:/usr/sbin:/sbin command -v "$1" >/dev/null && return
	shift
	say "installing $*"
	as_root apt-get -o DPkg::Lock::Timeout=300 -qq update >&2
	as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 \
		-qq install -y --no-install-recommends "$@" >/dev/null ||
		die "apt-get could not install $*"
}

build_toolkit() {
	[ "$(cat "$top/bin/version" 2>/dev/null)" = "$toolkit" ] && return
	say "building NVIDIA's container toolkit $toolkit (about a minute, once)"
	rm -rf "${top:?}/bin"
	set --
	for program in nvidia-ctk nvidia-cdi-hook nvidia-container-runtime \
		nvidia-container-runtime.cdi nvidia-container-runtime-hook; do
		set -- "$@" "github.com/NVIDIA/nvidia-container-toolkit/cmd/$program@$toolkit"
	done
	GOBIN=$top/bin CGO_ENABLED=1 CGO_CFLAGS=-Wno-deprecated-declarations GOFLAGS='' go install "$@" ||
		die "the toolkit does not build"
	echo "$toolkit" >"$top/bin/version"
}

# fetch BRANCH SUITE PACKAGE… downloads the packages into $top/BRANCH/debs.
fetch() {
	branch=$1 suite=$2
	shift 2
	apt_private "$top/apt" "$suite_535 non-free" "$suite_550 non-free"
	APT_CONFIG=$top/apt/apt.conf apt-get -qq update || die "cannot read the package lists of non-free"
	rm -rf "${top:?}/$branch/debs"
	mkdir -p "$top/$branch/debs"
	for package in "$@"; do
		shift
		set -- "$@" "$package/$suite"
	done
	say "fetching driver $branch, $# packages of Debian $suite"
	(cd "$top/$branch/debs" && APT_CONFIG=$top/apt/apt.conf apt-get -qq download "$@") ||
		die "cannot download driver $branch"
}

# lay_out BRANCH unpacks the packages and makes of them what NVIDIA's installer
# leaves on a host: one directory of libraries, programs in /usr/bin, the nodes.
lay_out() {
	host=$top/$1/host
	lib=$host/usr/lib/$(gcc -dumpmachine)
	as_root rm -rf "$host" "$top/$1/unpacked"
	mkdir -p "$lib" "$host/usr/bin" "$host/dev"
	for deb in "$top/$1"/debs/*.deb; do
		dpkg-deb -x "$deb" "$top/$1/unpacked"
	done
	find "$top/$1/unpacked" -type f -name 'lib*.so.[0-9]*' -exec mv -t "$lib" {} +
	find "$top/$1/unpacked" -type f -path '*/nvidia*' -perm -111 ! -name script -exec mv -t "$host/usr/bin" {} +
	rm -rf "$top/$1/unpacked"
	/sbin/ldconfig -n "$lib"
	for name in libcuda libnvidia-ml libnvidia-opticalflow libnvcuvid libnvidia-encode; do
		ln -s "$name.so.1" "$lib/$name.so"
	done
	# The kernel's numbers: 195 is NVIDIA's, that of nvidia-uvm is given out at load.
	as_root mknod -m 666 "$host/dev/nvidia0" c 195 0
	as_root mknod -m 666 "$host/dev/nvidiactl" c 195 255
	as_root mknod -m 666 "$host/dev/nvidia-modeset" c 195 254
	as_root mknod -m 666 "$host/dev/nvidia-uvm" c 511 0
	as_root mknod -m 666 "$host/dev/nvidia-uvm-tools" c 511 1
}

# describe BRANCH makes the CDI spec, and a runtime that injects by it. The mode
# "management" is the one that asks the files and not the kernel's driver.
describe() {
	mkdir -p "$top/$1/cdi"
	"$top/bin/nvidia-ctk" --quiet cdi generate --mode=management --vendor=nix2vast.test \
		--driver-root="$top/$1/host" --nvidia-cdi-hook-path="$top/bin/nvidia-cdi-hook" \
		--ldconfig-path=/sbin/ldconfig --output="$top/$1/cdi/nvidia.yaml" ||
		die "nvidia-ctk made no CDI spec of driver $1"
	cat >"$top/$1/config.toml" <<-EOF
		[nvidia-container-runtime]
		mode = "cdi"
		runtimes = ["runc"]
		[nvidia-container-runtime.modes.cdi]
		default-kind = "nix2vast.test/gpu"
		spec-dirs = ["$top/$1/cdi"]
		[nvidia-ctk]
		path = "$top/bin/nvidia-cdi-hook"
	EOF
	cat >"$top/$1/runtime" <<-EOF
		#!/bin/sh
		NVIDIA_CTK_CONFIG_FILE_PATH=$top/$1/config.toml exec $top/bin/nvidia-container-runtime "\$@"
	EOF
	chmod +x "$top/$1/runtime"
}

prepare() {
	mkdir -p "$top"
	exec 9>"$top/.lock"
	flock 9
	need gcc gcc libc6-dev
	need runc runc
	build_toolkit
	for branch in "$@"; do
		# shellcheck disable=SC2086 # lists
		case $branch in
		535) set -- "$suite_535" $packages ;;
		550) set -- "$suite_550" $packages $packages_550 ;;
		*) die "there is no driver $branch here: 535 or 550" ;;
		esac
		# Made again when this script has changed, or the checkout has moved.
		mark=$(echo "$top" | cat - "$here/driver.sh" | cksum)
		[ "$(cat "$top/$branch/mark" 2>/dev/null)" = "$mark" ] && continue
		rm -f "$top/$branch/mark"
		fetch "$branch" "$@"
		lay_out "$branch"
		describe "$branch"
		libcuda=$(find "$top/$branch/host" -name "libcuda.so.$branch.*")
		[ -n "$libcuda" ] || die "Debian no longer has a driver $branch in $1"
		echo "${libcuda##*libcuda.so.}" >"$top/$branch/version"
		echo "$mark" >"$top/$branch/mark"
		rm -rf "$top/$branch/debs"
		say "driver $(cat "$top/$branch/version") is ready"
	done
	exec 9>&-
}

case ${1-} in
prepare)
	shift
	[ $# -gt 0 ] || set -- 535 550
	prepare "$@"
	;;
run-args)
	prepare 550
	need podman podman
	# Podman's own limits are higher than a root without CAP_SYS_RESOURCE may set.
	echo "--runtime $top/550/runtime --cgroup-manager cgroupfs" \
		"--ulimit nofile=1024:4096 --ulimit nproc=4096:4096 --env NVIDIA_VISIBLE_DEVICES=all"
	;;
*)
	sed -n '2,/^set -eu/{/^set -eu/!s/^# \{0,1\}//p}' "$0" >&2
	exit 2
	;;
esac
