#!/bin/sh
# Evaluates the flake: its options and what is said of mistakes, outputs, templates; and
# builds and checks its image, of Debian's packages. NIX.md tells what that shows and what not.
#
# Usage: dev/nix-eval.sh [--update | --boot]
#
# NIX2VAST_TEST_LIB, NIX2VAST_TEST_FLAKE_PARTS and NIX2VAST_TEST_SERVICES_FLAKE name checkouts of
# nix-community/nixpkgs.lib, hercules-ci/flake-parts and juspay/services-flake. NIX2VAST_TEST_STORE names
# another store than build/nix: "auto" is the machine's own. Where NIX2VAST_TEST_TESTER names nixpkgs'
# pkgs/build-support/testers/modular-service-compliance.nix, init goes through that. --update writes
# image/testdata/sample.json and dev/docs/options.html anew; --boot starts the image too.
set -eu
cd "$(dirname "$0")/.."

for variable in NIX2VAST_TEST_LIB NIX2VAST_TEST_FLAKE_PARTS NIX2VAST_TEST_SERVICES_FLAKE; do
	if ! printenv $variable >/dev/null; then
		echo "SKIP: the flake is not evaluated, since $variable names no checkout"
		exit 0
	fi
done
for program in build/init build/nix2vast build/debs/index.json; do
	[ -e $program ] || { echo "nix-eval: $program is missing; make setup build makes it" >&2; exit 1; }
done

export NIX_CONFIG='
build-users-group =
experimental-features = nix-command flakes
flake-registry =
max-jobs = auto
sandbox = true
substituters =
warn-dirty = false
'
work=$PWD/build/nix-eval
store=${NIX2VAST_TEST_STORE-$PWD/build/nix}

# nixpkgs is a flake of its own: ./nixpkgs with what it needs beside it.
rm -rf "$work"
mkdir -p "$work/nixpkgs/programs"
cp dev/nixpkgs/*.nix dev/debs.nix dev/unpack.sh "$work/nixpkgs/"
cp -r "$NIX2VAST_TEST_LIB/lib" "$work/nixpkgs/lib"
cp -r dev/services/nixpkgs/. "$work/nixpkgs/"
cp -r build/debs "$work/nixpkgs/debs"
if [ -n "${NIX2VAST_TEST_TESTER-}" ]; then
	cp "$NIX2VAST_TEST_TESTER" "$work/nixpkgs/tester.nix"
fi
cp build/init build/nix2vast "$work/nixpkgs/programs/"
chmod -R u+w "$work/nixpkgs"

# flake VERB … is nix VERB with the inputs of this machine. ours is in front of the inputs'
# names where they are those of this flake, as an input of another.
ours=
flake() {
	what=$1
	shift
	if [ "$what" = flake ]; then
		what="flake $1"
		shift
	fi
	# shellcheck disable=SC2086 # two words are two
	nix $what --store "$store" --offline --no-write-lock-file --override-input "${ours}nixpkgs" "path:$work/nixpkgs" \
		--override-input "${ours}flake-parts" "path:$NIX2VAST_TEST_FLAKE_PARTS" "$@" 2>"$work/stderr" ||
		{ grep -v '^warning' "$work/stderr" >&2; return 1; }
}
system=$(nix-instantiate --eval --expr builtins.currentSystem --store dummy:// 2>/dev/null | tr -d '"')
checks() {
	nix-instantiate --eval --strict --json --store "$store" -A "$1" \
		--expr "import $PWD/dev/nix-checks { nixpkgs = $work/nixpkgs; }" 2>"$work/stderr" ||
		{ cat "$work/stderr" >&2; return 1; }
}
count() { wc -l | tr -d ' '; }

if [ "${1-}" = --update ]; then
	checks sample | jq -j . >image/testdata/sample.json
	checks page | jq -j . >dev/docs/options.html
	exit
fi

# Options, mistakes, aliases, the golden file.
problems=$(checks problems | jq -r '.[]')
if [ -n "$problems" ]; then
	echo "$problems" >&2
	exit 1
fi
summary=$(checks counts | jq -r 'to_entries | map("\(.value) \(.key)") | join(", ")')

# The flake itself: what its own checks need beside is locked in dev, and here comes from the checkout. Nix
# before 2.9 takes no templates from a store that is elsewhere than in /nix: there it checks a copy without
# them. They are evaluated below in any case.
mkdir "$work/self" "$work/services-flake"
git ls-files -z | xargs -0 cp --parents -t "$work/self"
(cd "$NIX2VAST_TEST_SERVICES_FLAKE" && git archive HEAD) | tar x -C "$work/services-flake"
hash=$(nix hash path "$work/services-flake")
locked() { jq -r ".nodes.\"services-flake\".locked.$1" dev/flake.lock; }
if [ "$(git -C "$NIX2VAST_TEST_SERVICES_FLAKE" rev-parse HEAD)" = "$(locked rev)" ] && [ "$hash" != "$(locked narHash)" ]; then
	echo "nix-eval: in dev/flake.lock the hash of services-flake has to be $hash" >&2
	exit 1
fi
jq --arg path "$work/services-flake" --arg hash "$hash" \
	'.nodes."services-flake".locked = {type: "path", path: $path, narHash: $hash}' dev/flake.lock >"$work/self/dev/flake.lock"
flake flake show "path:$work/self" --json >"$work/show.json"
if ! flake flake check "path:$work/self" 2>"$work/says"; then
	grep -q '^error: template .* has a bad' "$work/says" || { cat "$work/says" >&2; exit 1; }
	sed -i '/templates = /d' "$work/self/modules/default.nix"
	flake flake check "path:$work/self"
fi
packages=$(jq -r ".packages.\"$system\" | keys[]" "$work/show.json")
checks=$(jq -r ".checks.\"$system\" | keys[]" "$work/show.json")
apps=$(jq -r ".apps.\"$system\" | keys[]" "$work/show.json")
verbs="copyToGithub copyToGIthub copyToRegistry copyToContainerRuntime copyToDockerDaemon copyToPodman
	toOci toDockerArchive inspect run shell load push"
for verb in $verbs; do
	flake eval --raw ".#sample.$verb.meta.mainProgram" >/dev/null
	flake build --dry-run ".#sample.$verb"
done
flake eval --raw .#sample.imageRef | grep -qx 'sample:[0-9]\{8\}-[0-9]\{6\}'
[ "$(flake eval --raw .#sample.copyToGithub.drvPath)" = "$(flake eval --raw .#sample.copyToGIthub.drvPath)" ]
flake build --dry-run "path:$work/self#devShells.$system.default"

# A user's flake, from each template, and with mistakes of which the module system itself says
# what there is to say.
ours=nix2vast/
user() {
	action=$1
	shift
	flake "$action" --override-input nix2vast "git+file://$PWD" "$@"
}
templates=$(ls -d templates/*/)
for template in $templates; do
	rm -rf "$work/user"
	cp -r "$template" "$work/user"
	user eval --raw "path:$work/user#sample.drvPath" >/dev/null
	user eval --raw "path:$work/user#sample.copyToGithub.drvPath" >/dev/null
done

# The examples, as flakes of a user: the plan of each container is built.
examples=$(ls -d examples/*/)
for example in $examples; do
	rm -rf "$work/user"
	cp -r "$example" "$work/user"
	given=
	if grep -q '^ *services-flake.url' "$work/user/flake.nix"; then
		given="--override-input services-flake path:$work/services-flake"
	fi
	# shellcheck disable=SC2086 # several words, or none
	for container in $(user eval $given "path:$work/user#packages.$system" --apply builtins.attrNames --json | jq -r '.[]'); do
		user build $given --no-link "path:$work/user#$container"
	done
done
mistakes=0
refused() { # CONFIG WORDS…: a user's container of that config is refused, with all these words
	mkdir -p "$work/wrong"
	sed "s|perSystem.nix2vast.sample = { };|perSystem.nix2vast.sample = { $1 };|" templates/default/flake.nix >"$work/wrong/flake.nix"
	if user eval --raw "path:$work/wrong#sample.drvPath" >/dev/null 2>"$work/says"; then
		echo "nix-eval: $1 is taken" >&2
		return 1
	fi
	option=$1
	shift
	for words; do
		grep -qF "$words" "$work/says" || { echo "nix-eval: of $option it is not said: $words" >&2; cat "$work/says" >&2; return 1; }
	done
	mistakes=$((mistakes + 1))
}
refused 'pakages = [ ];' 'nix2vast.sample.pakages' "does not exist" "packages"
refused 'cuda.versoin = "12.8";' 'nix2vast.sample.cuda.versoin' 'does not exist' 'version'
refused 'ssh.port = 70000;' 'nix2vast.sample.ssh.port' 'is not of type' '16 bit unsigned integer'
refused 'gpu.mode = "maybe";' 'nix2vast.sample.gpu.mode' '"require"'
refused 'registries = [ "https://ghcr.io/x" ]; tag = "-";' 'nix2vast.sample: registries: "https://ghcr.io/x"' 'nix2vast.sample: tag: "-" is no tag'

# Of what is not free, CUDA alone may be in a container.
uses() { # PACKAGE: a user's container with it evaluates
	sed "s|sample = { };|sample = { pkgs, ... }: { packages = [ pkgs.$1 ]; };|" templates/default/flake.nix >"$work/wrong/flake.nix"
	user eval --raw "path:$work/wrong#sample.drvPath" >/dev/null
}
uses cudaPackages_12_8.libcufft
if uses unfree 2>"$work/says"; then
	echo "nix-eval: a container may use whatever is not free" >&2
	exit 1
fi
grep -q 'unfree license' "$work/says"

# Without flake-parts: lib.mkImage, and the overlay.
mkdir -p "$work/plain"
cat >"$work/plain/flake.nix" <<EOF
{
  inputs.nix2vast.url = "github:fleek-platform/nix2vast";
  inputs.nixpkgs.follows = "nix2vast/nixpkgs";
  outputs = { nixpkgs, nix2vast, ... }:
    let pkgs = nixpkgs.legacyPackages.$system; in {
      packages.$system = {
        sample = nix2vast.lib.mkImage { inherit pkgs; modules = [{ dev.enable = false; }]; };
        program = (nix2vast.overlays.default pkgs pkgs).nix2vast;
      };
    };
}
EOF
user eval --raw "path:$work/plain#sample.copyToRegistry.drvPath" >/dev/null
user eval --raw "path:$work/plain#program.drvPath" >/dev/null

# Warnings are on standard error, and the image is made.
sed 's|sample = { };|sample = { extraEnv.A = "b"; };|' templates/default/flake.nix >"$work/wrong/flake.nix"
user eval --raw "path:$work/wrong#sample.drvPath" >/dev/null
grep -q "nix2vast.sample: The option .extraEnv. .* has been renamed to .env." "$work/stderr"

if [ "${1-}" = --boot ]; then
	ours=
	flake run .#sample.copyToContainerRuntime
	flake run .#sample.shell -- -- init status --wait 60s
	reference=$(flake eval --raw .#sample.imageRef)
	for runtime in docker podman; do
		$runtime rmi "$reference" "sample:cuda-12.8-${reference#*:}" >/dev/null 2>&1 || true # the one that was not asked has none
	done
fi

echo "nix-eval: $(nix --version), lib $(cat "$NIX2VAST_TEST_LIB/lib/.version" 2>/dev/null || echo unknown): $summary;" \
	"$(echo "$checks" | count) checks, $(echo "$packages" | count) packages, $(echo "$apps" | count) apps, $(echo "$verbs" | wc -w) programs of an image," \
	"$(echo "$templates" | count) templates, $(echo "$examples" | count) examples, $mistakes mistakes in a user's flake"
