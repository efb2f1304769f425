# The flake of this repository.
{ inputs, lib, ... }:
let
  nix2vast = inputs.self;
  flakeModule = import ./flake-module.nix { inherit nix2vast; };
in
{
  imports = [ inputs.flake-parts.flakeModules.flakeModules inputs.flake-parts.flakeModules.partitions flakeModule ];

  # What has more inputs than users are to fetch.
  partitionedAttrs = { checks = "dev"; devShells = "dev"; formatter = "dev"; };
  partitions.dev = {
    extraInputsFlake = ../dev;
    module.imports = [ ./develop.nix ];
  };

  systems = [ "x86_64-linux" "aarch64-linux" ];

  flake = {
    flakeModules.default = flakeModule;
    lib = import ./lib.nix { inherit lib nix2vast; };
    overlays.default = final: _: { nix2vast = (import ./programs.nix { pkgs = final; source = nix2vast; }).nix2vast; };
    templates = import ../templates;
  };

  perSystem = { config, pkgs, ... }: {
    nix2vast.sample = { };
    packages = import ./programs.nix { inherit pkgs; source = nix2vast; } // {
      default = config.packages.sample;
    };
  };
}
