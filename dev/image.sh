#!/bin/sh
# Builds the image of the demo and the tests with Nix, around build/init:
# build/image.tar, and in build/image.id the name that engines give to it.
# The store is in build/nix; a /nix that this machine may have is not touched.
set -eu
cd "$(dirname "$0")/.."

export NIX_CONFIG='
build-users-group =
max-jobs = auto
sandbox = true
substituters =
'
store=$PWD/build/nix
old=$(cat build/image.path 2>/dev/null || true)
[ -n "$old" ] || echo "image: building its packages, about a minute" >&2
if ! new=$(nix-build --store "$store" --no-out-link dev/image.nix \
	--arg debs "$PWD/build/debs" --arg init "$PWD/build/init" 2>build/image.log); then
	tail -n 30 build/image.log >&2
	exit 1
fi

if [ "$new" != "$old" ] || [ ! -e build/image.tar ]; then
	cp -f "$store$new" build/image.tar.new
	chmod 644 build/image.tar.new
	tar -xOf build/image.tar.new manifest.json | sed 's/.*"Config":"\([0-9a-f]*\).*/sha256:\1/' >build/image.id
	mv build/image.tar.new build/image.tar
	echo "$new" >build/image.path
	if [ -n "$old" ]; then
		nix-store --store "$store" --delete "$old" >/dev/null 2>&1 || true
	fi
fi
