{
  description = "nix2vast: containers that Nix built, for rented GPUs";

  inputs = {
    nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";
    flake-parts.url = "github:hercules-ci/flake-parts";
    flake-parts.inputs.nixpkgs-lib.follows = "nixpkgs";
  };

  # All of it is in modules/: what users import is modules/flake-module.nix, and this
  # repository is the first of them.
  outputs = inputs: inputs.flake-parts.lib.mkFlake { inherit inputs; } ./modules;
}
