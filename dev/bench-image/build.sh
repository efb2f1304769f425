#!/bin/sh
# Builds nix2container, and what writes its layers as an OCI layout, into build/bench-image. The version is that of Go's
# module proxy; NIX2CONTAINER names a checkout of another one. Where it cannot be had it is named, and left out.
set -eu
cd "$(dirname "$0")/../.."
PATH=$PATH:/usr/local/go/bin
CGO_ENABLED=0
export PATH CGO_ENABLED
out=$PWD/build/bench-image module=github.com/nlewo/nix2container
src=$out/src
rm -rf "$src"
mkdir -p "$src"
cp dev/bench-image/nix2container/main.go dev/bench-image/nix2container/go.mod "$src"
[ -z "${NIX2CONTAINER-}" ] || printf 'replace %s => %s\n' $module "$NIX2CONTAINER" >>"$src/go.mod"
cd "$src"
export GOFLAGS=-mod=mod
if ! { go build -trimpath -o "$out/nix2container" . && go build -trimpath -o "$out/nix2container-plan" $module; } >"$out/peer.log" 2>&1; then
	tail -n 3 "$out/peer.log" >&2
	echo 'bench-image: there is no nix2container here; the others go on' >&2
fi
