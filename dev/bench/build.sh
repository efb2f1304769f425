#!/bin/sh
# Builds the benchmark's own programs into build/bench, and gets the inits that we are compared with: by apt, and by Go
# those that Debian does not have. A peer that cannot be had is named and left out.
set -eu
cd "$(dirname "$0")"
PATH=$PATH:/usr/local/go/bin
CGO_ENABLED=0
export PATH CGO_ENABLED
say() { echo "bench: $*" >&2; }

if [ "$(uname -m)" != x86_64 ]; then
	say "svc.c is written for amd64"
	exit 1
fi
mkdir -p ../../build/bench
bin=$(cd ../../build/bench && pwd)

missing=
# need COMMAND PACKAGE notes the package when there is no such command.
need() { command -v "$1" >/dev/null || missing="$missing $2"; }
need gcc 'gcc libc6-dev'
need python3 python3
need unshare util-linux
need ip iproute2
need tini tini
need dumb-init dumb-init
need catatonit catatonit
need s6-svscan s6
need execlineb execline
need runsvdir runit
need supervisord supervisor
if [ -n "$missing" ]; then
	say "installing$missing"
	# Its services are for a machine, and would be started.
	policy=/usr/sbin/policy-rc.d
	if [ ! -e $policy ]; then
		printf '#!/bin/sh\nexit 101\n' >$policy
		chmod 755 $policy
		trap 'rm -f $policy' EXIT
	fi
	export DEBIAN_FRONTEND=noninteractive
	# shellcheck disable=SC2086 # a list of words
	apt-get -o DPkg::Lock::Timeout=300 -qq install -y --no-install-recommends $missing >/dev/null || {
		apt-get -o DPkg::Lock::Timeout=300 -qq update >&2 || say 'apt-get update had errors; going on'
		apt-get -o DPkg::Lock::Timeout=300 -qq install -y --no-install-recommends $missing >/dev/null
	}
fi

# No C library: what is measured is the init.
gcc -Os -static -nostdlib -ffreestanding -fno-stack-protector -fno-asynchronous-unwind-tables -Wall -Wextra \
	-o "$bin/svc" svc.c
strip "$bin/svc"
gcc -O2 -Wall -Wextra -o "$bin/stamp" stamp.c
gcc -O2 -static -Wall -Wextra -o "$bin/floor" floor.c
(cd floors && go build -trimpath -ldflags '-s -w' -o "$bin/" ./...)

# peer NAME MODULE VERSION PACKAGE builds one, once.
peer() {
	[ "$(cat "$bin/$1.version" 2>/dev/null)" != "$3" ] || return 0
	say "building $1 $3"
	mkdir -p "$bin/src/$1"
	printf 'module peer\n\ngo 1.26\n\nrequire %s %s\n' "$2" "$3" >"$bin/src/$1/go.mod"
	if (cd "$bin/src/$1" && go build -mod=mod -trimpath -ldflags '-s -w' -o "$bin/$1" "$4"); then
		echo "$3" >"$bin/$1.version"
	else
		say "there is no $1 here; the others go on"
	fi
}
peer pebble github.com/canonical/pebble v1.26.0 github.com/canonical/pebble/cmd/pebble
peer process-compose github.com/f1bonacc1/process-compose v1.64.1 github.com/f1bonacc1/process-compose/src
