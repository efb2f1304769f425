# system.services: see ../services/modular.nix.
{ config, lib, pkgs, ... }:
{
  imports = [ (import ../services/modular.nix { inherit lib pkgs; nixpkgs = pkgs.path; }) ];

  config.arguments = { inherit (config) modularServices; };
}
