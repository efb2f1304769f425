# What init gets in the containers of ../../examples, whose flakes are evaluated as they
# stand: { <example>.<container> = the config; }. See check.sh.
{ nixpkgs, flakeParts, servicesFlake }:
let
  # A flake's outputs, without Nix' own fetching and locking. Its outPath is no path of Nix: that would
  # be copied, build/ and all.
  call = dir: inputs:
    let self = (import (dir + "/flake.nix")).outputs (inputs // { inherit self; }) // { inherit inputs; outPath = toString dir; _type = "flake"; }; in
    self;

  lib = import "${nixpkgs}/lib";
  ours = import ./pkgs.nix { inherit lib; };
  names = import ../nix-checks/names.nix lib;
  pkgs = names // ours // {
    path = /. + nixpkgs;
    config = ours.config // names.config;
    stdenv = ours.stdenv // names.stdenv;
  };
  inputs = {
    nixpkgs = { inherit lib; outPath = nixpkgs; _type = "flake"; legacyPackages.x86_64-linux = pkgs; };
    flake-parts = call flakeParts { nixpkgs-lib = inputs.nixpkgs; };
    services-flake = { outPath = servicesFlake; _type = "flake"; };
  };
  nix2vast = call ../.. { inherit (inputs) nixpkgs flake-parts; };

  examples = import ../examples.nix { inherit lib; inputs = inputs // { inherit nix2vast; }; };
in
lib.mapAttrs
  (_: example:
    lib.mapAttrs (_: plan: builtins.seq plan.drvPath { config = builtins.toJSON plan.rootfs.rootfs.config; inherit (plan.image) name tag; })
      example.packages.x86_64-linux)
  examples
