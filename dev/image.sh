#!/bin/sh
# Builds the image of the demo and the tests with Nix, around build/init: its plan,
# build/plan.json, as an archive build/image.tar, and in build/image.id the name that
# engines give to it. The store is in build/nix, where build/plan keeps the plan and all
# that it names; a /nix that this machine may have is not touched.
set -eu
cd "$(dirname "$0")/.."

export NIX_CONFIG='
build-users-group =
max-jobs = auto
sandbox = true
substituters =
'
store=$PWD/build/nix
[ -e build/plan.json ] || echo "image: building its packages, about a minute" >&2
if ! plan=$(nix-build --store "$store" --out-link build/plan dev/image.nix --arg debs "$PWD/build/debs" \
	--arg init "$PWD/build/init" --arg nix2vast "$PWD/build/nix2vast" 2>build/image.log); then
	tail -n 30 build/image.log >&2
	exit 1
fi

# The same plan is the same archive.
if ! cmp -s "$store$plan" build/plan.json || [ ! -e build/image.tar ]; then
	rm -f build/plan.json
	build/nix2vast image archive --store "$store" --cache build/layers "$store$plan" -o build/image.tar >/dev/null
	tar -xOf build/image.tar manifest.json | sed 's/.*"Config":"\([^"]*\)".*/\1/; s/[.]json$//; s,.*/,,; s/^/sha256:/' >build/image.id
	cp "$store$plan" build/plan.json
	chmod 644 build/plan.json
	nix-store --store "$store" --gc >/dev/null 2>&1 || true # packages of an older image
fi
