#!/bin/sh
# Installs what `make` needs and this Debian machine lacks, by apt, and fetches
# the packages of the image. Says nothing and is quick when nothing is missing.
set -eu
cd "$(dirname "$0")/.."
PATH=$PATH:/usr/local/go/bin:/usr/sbin:/sbin

say() { echo "setup: $*" >&2; }
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }
apt_get() { as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 -qq "$@"; }

missing=
# need COMMAND PACKAGE… notes the packages when there is no such command.
need() {
	command=$1
	shift
	command -v "$command" >/dev/null || missing="$missing $*"
}
need nix-build nix-bin
need ssh openssh-client
need sshd openssh-server
need rsync rsync
need unshare util-linux
need ps procps
need ip iproute2
need file file
need gcc gcc libc6-dev
need jq jq
need strace strace
need curl curl
need node nodejs
need git git
need nc netcat-openbsd
need python3 python3
/usr/bin/python3 -c 'import torch' 2>/dev/null || missing="$missing python3-torch" # gloo, over the tailnet
need runc runc
need shellcheck shellcheck
need zsh zsh
need fish fish
need redis-server redis-server
need nginx nginx-light
need pg_ctlcluster postgresql
need docker-registry docker-registry
need skopeo skopeo
need podman podman
if ! docker version >/dev/null 2>&1; then
	if [ "$(id -u)" != 0 ]; then
		need newuidmap uidmap
		need slirp4netns slirp4netns
		need fuse-overlayfs fuse-overlayfs
	fi
fi

if ! command -v go >/dev/null; then
	say "there is no Go on this machine: see https://go.dev/doc/install"
	exit 1
fi

# keep_quiet COMMAND… runs an installation in which no service is started, and
# after which those that were not here before are not started at boot either.
keep_quiet() {
	policy=/usr/sbin/policy-rc.d
	if [ ! -e $policy ]; then
		printf '#!/bin/sh\nexit 101\n' | as_root tee $policy >/dev/null
		as_root chmod 755 $policy
		trap 'as_root rm -f $policy' EXIT
	fi
	new=
	for service in sshd:openssh-server:ssh redis-server:redis-server:redis-server \
		nginx:nginx-common:nginx pg_ctlcluster:postgresql-common:postgresql \
		docker-registry:docker-registry:docker-registry; do
		command -v "${service%%:*}" >/dev/null || new="$new $service"
	done
	"$@"
	for service in $new; do
		command -v "${service%%:*}" >/dev/null || continue
		unit=${service##*:} package=${service#*:}
		as_root env DPKG_MAINTSCRIPT_PACKAGE="${package%:*}" deb-systemd-helper disable "$unit.service" >/dev/null
		as_root update-rc.d "$unit" disable >/dev/null
	done
}

if [ -n "$missing" ] || ! dev/debs.sh --check build/debs; then
	say "reading apt's package lists"
	apt_get update >&2 || say "apt-get update had errors; going on with the lists that it has"
fi
if [ -n "$missing" ]; then
	say "installing$missing"
	# shellcheck disable=SC2086 # a list of words
	keep_quiet apt_get install -y --no-install-recommends $missing >/dev/null
fi
dev/debs.sh build/debs
dev/docker.sh build/docker
