# The type of one container: ../config has its options.
#
# `programs` has init and nix2vast; `source` is the author's flake, of which an image tells
# the revision and the time, {} where there is none; `servicesFlake` is services-flake, or null.
{ lib, pkgs, programs, source ? { }, servicesFlake ? null }:
lib.types.submoduleWith {
  modules = [ ./container.nix ];
  specialArgs = { inherit programs source servicesFlake; pkgs = import ./pkgs.nix pkgs; };
}
