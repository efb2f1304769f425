# Stands for nixpkgs where neither it nor a binary cache can be reached: tests only. Beside
# this file ../nix-eval.sh puts lib (nixpkgs' own), debs, debs.nix and programs.
{
  description = "A package set with nixpkgs' names, made of Debian's packages";

  outputs = { self }:
    let
      lib = import ./lib;
    in
    {
      inherit lib;
      _type = "flake"; # which Nix before 2.13 does not set, and flake-parts looks for
      legacyPackages = lib.genAttrs [ "x86_64-linux" "aarch64-linux" ] (system: import ./. { inherit system; });
    };
}
