# All services that a container may enable: a module for its options.
#
#   imports = [ (import ../services { inherit lib; servicesFlake = inputs.services-flake or null; }) ];
#
# It needs the module argument `pkgs`, declares `services.<service>.<instance>`, `settings`
# and `cli`, and sets `processCompose`, see settings.nix. Without services-flake our own
# services are there and nothing else; with it, its own are there as they stand, but for
# those that are here too: ours take the same options, and know of the GPU.
{ lib, servicesFlake ? null }:
let
  multi = import ./multi.nix;
  ours = import ./list.nix;
  names = map (file: lib.removeSuffix ".nix" (baseNameOf file)) ours;

  # Its services are functions without a name. What one declares does not depend on what
  # is configured.
  declares = module: builtins.attrNames (module {
    inherit lib;
    pkgs = throw "services-flake: a service asks for a package to say what its name is";
    config = throw "services-flake: a service asks for its configuration to say what its name is";
  }).options.services;
  isOurs = module: builtins.isFunction module && lib.any (name: builtins.elem name names) (declares module);
  theirs =
    if servicesFlake == null then [ ]
    else builtins.filter (module: !isOurs module) (import (servicesFlake + "/nix/services")).imports;
in
{
  imports = [ ./settings.nix ] ++ map multi ours ++ theirs;
}
