# shellcheck shell=sh
# Our init as the PID 1 of a whole image, with every step of its boot, sshd and the driver's service: in an overlay of
# this machine's root, with a network of its own. The clock starts once the overlay is laid, at the exec of init.
# shellcheck source=SCRIPTDIR/init.sh
. "$BENCH/adapters/init.sh"
a_tests() { echo boot; }
a_write() {
	write_config "$@"
	mkdir -p "$1/upper/etc/nix2vast" "$1/work" "$1/root"
	cp "$1/config.json" "$1/upper/etc/nix2vast/config.json"
	cp "$INIT" "$1/upper/init"
	state=$(dirname "$1")
	cat >"$1/enter" <<EOF
#!/bin/sh
set -e
mount -t overlay overlay -o lowerdir=/,upperdir=$1/upper,workdir=$1/work $1/root
cd $1/root
# The units that this machine has enabled are no image's.
rm -rf etc/systemd/system
mount -t tmpfs tmpfs usr/lib/systemd/system
mount -t proc proc proc
mount -t tmpfs -o mode=755 tmpfs dev
for node in null zero full random urandom tty; do
	touch dev/\$node
	mount --bind /dev/\$node dev/\$node
done
mkdir dev/shm
mount -t tmpfs tmpfs dev/shm
for dir in $state $BIN; do
	mkdir -p .\$dir
	mount --bind \$dir .\$dir
done
exec unshare -n chroot . sh -c 'ip link set lo up && exec $BIN/stamp $state/out /init'
EOF
	chmod +x "$1/enter"
}
a_command() { echo "$1/enter"; }
