#!/bin/sh
# Boots the image in a real container, waits until it is ready, logs in to it,
# and shows what there is to see.
#
#   dev/demo.sh           in docker, or podman where docker does not answer
#   dev/demo.sh gpu       in podman, with a driver injected (see dev/driver.sh)
#   dev/demo.sh clean     removes the container, its image and its key
set -eu
cd "$(dirname "$0")/.."

box=nix2vast-demo
image=nix2vast:demo
key=build/demo/id_ed25519
known=build/demo/known_hosts

say() { printf '\n== %s\n' "$*"; }
die() { echo "demo: $*" >&2; exit 1; }

engines() {
	for engine in docker podman; do
		if command -v $engine >/dev/null && $engine version >/dev/null 2>&1; then
			echo $engine
		fi
	done
}

# load gives the engine the image in place of an older one.
load() {
	have=$($engine image inspect --format '{{.Id}}' $image 2>/dev/null || true)
	if [ "sha256:${have#sha256:}" != "$(cat build/image.id)" ]; then
		forget
		$engine load -q -i build/image.tar >/dev/null
	fi
}

# forget removes the container and the image from the engine.
forget() {
	$engine rm -f $box >/dev/null 2>&1 || true
	$engine rmi $image >/dev/null 2>&1 || true
}

# free_port prints a TCP port from 2222 on that nothing listens on.
free_port() {
	cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | awk '
		$4 == "0A" { split($2, part, ":"); used[toupper(part[2])] }
		END { for (p = 2222; sprintf("%04X", p) in used; p++); print p }'
}

# start NETWORK runs the container in a network of its own (bridge) or in that of
# the machine (host), and waits until it is ready and can be logged in to.
start() {
	$engine rm -f $box >/dev/null 2>&1 || true
	case $1 in
	bridge) set -- -p 127.0.0.1::22 ;;
	host)
		port=$(free_port)
		set -- --network host -e "SSH_PORT=$port"
		;;
	esac
	# shellcheck disable=SC2086 # options
	$engine run -d --name $box --cap-drop NET_RAW $options "$@" \
		-e "SSH_PUBLIC_KEYS=$(cat $key.pub)" $image >/dev/null || return 1

	state=0
	$engine exec $box init status --wait 60s >build/demo/status || state=$?
	if [ $state -gt 1 ]; then
		cat build/demo/status
		$engine logs $box
		die "the container is not ready after 60 s"
	fi

	if [ "$1" = -p ]; then
		port=$($engine port $box 22/tcp | sed -n 's/.*://p;q')
	fi
	$engine exec $box sh -c 'cat /etc/ssh/ssh_host_*_key.pub' |
		sed "s/^/[127.0.0.1]:$port /" >$known
	login="ssh -p $port -i $key -o UserKnownHostsFile=$known root@127.0.0.1"
	$login -o BatchMode=yes -o ConnectTimeout=5 true
}

gpu=
case ${1-} in
clean)
	for engine in $(engines); do
		forget
	done
	rm -rf build/demo
	exit
	;;
gpu) gpu=1 ;;
esac

if [ -n "$gpu" ]; then
	engine=podman
	options="--no-healthcheck $(dev/driver.sh run-args)"
else
	engine=$(engines | head -n 1)
	options=
	if [ "$engine" = podman ]; then
		# The wait below is the health check. Podman's own limits are higher than
		# a root without CAP_SYS_RESOURCE may set.
		options="$options --no-healthcheck --ulimit nofile=1024:4096 --ulimit nproc=4096:4096"
	fi
fi
[ -n "$engine" ] || die "neither docker nor podman answers: run make setup"

mkdir -p build/demo
chmod 700 build/demo
[ -e $key ] || ssh-keygen -q -t ed25519 -N '' -C $box -f $key
load
start bridge || {
	echo "demo: no way in through the engine's own network: taking the machine's" >&2
	start host
} || die "the container did not start, or cannot be logged in to"

say "what it wrote while it booted ($engine logs $box)"
$engine logs $box 2>&1
say "init status, inside"
cat build/demo/status
if [ -n "$gpu" ]; then
	say "init gpu, inside"
	$engine exec $box init gpu || true
	say "nvidia-smi, by ssh"
	state=0
	$login nvidia-smi || state=$?
	echo "exit status $state$([ $state != 9 ] || echo ": all there but the kernel module, which only a machine with a GPU has")"
fi
say "log in"
echo "$login"
say "remove all of it"
echo "make demo-clean"
