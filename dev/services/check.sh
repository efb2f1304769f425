#!/bin/sh
# Evaluates all services as nixpkgs' modules, and the examples as flakes, and has init check
# what they come to. It needs build/init and checkouts of nix-community/nixpkgs.lib
# (NIX2VAST_TEST_LIB), hercules-ci/flake-parts (NIX2VAST_TEST_FLAKE_PARTS) and
# juspay/services-flake (NIX2VAST_TEST_SERVICES_FLAKE). With -update it writes
# services/testdata.
set -eu
cd "$(dirname "$0")/../.."
for variable in NIX2VAST_TEST_LIB NIX2VAST_TEST_FLAKE_PARTS NIX2VAST_TEST_SERVICES_FLAKE; do
	if ! printenv $variable >/dev/null; then
		echo "SKIP: services and examples are not evaluated, since $variable names no checkout"
		exit 0
	fi
done

# nixpkgs' lib looks for two modules where nixpkgs has them.
NIX2VAST_NIXPKGS=$PWD/build/services/nixpkgs
rm -rf "$NIX2VAST_NIXPKGS"
mkdir -p "$NIX2VAST_NIXPKGS"
cp -r dev/services/nixpkgs/. "$NIX2VAST_NIXPKGS/"
cp -r "$NIX2VAST_TEST_LIB/lib" "$NIX2VAST_NIXPKGS/lib"
export NIX2VAST_NIXPKGS

go test -count=1 -tags nixpkgs -v -run 'TestServices|TestModularService' ./checks "$@"
