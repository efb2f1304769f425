# What the options of ../config come to: arguments of ../image, and nothing else. Several
# options may add to one.
{ lib, ... }:
let
  inherit (lib) mkOption types;
  option = type: mkOption { inherit type; };
  optional = type: default: mkOption { inherit type default; };
  anything = types.attrsOf types.anything;
in
{
  options.arguments = mkOption {
    internal = true;
    default = { };
    description = "The arguments of image/default.nix.";
    type = types.submodule {
      options = {
        name = option types.str;
        tag = option types.str;
        tags = optional (types.listOf types.str) [ ];
        registries = optional (types.listOf types.str) [ ];
        revision = optional types.str "";
        source = optional types.str "";
        created = option types.str;
        packages = option (types.listOf types.package);
        foreignLibraries = option (types.listOf types.package);
        nix = option (types.nullOr types.package);
        nixSettings = optional anything { };
        groups = optional (types.listOf types.raw) [ ];
        layers = optional anything { };
        env = optional (types.attrsOf types.str) { };
        ssh = option types.bool;
        rootPassword = optional types.str "";
        tailscale = optional anything { };
        environment = optional (types.attrsOf types.str) { };
        labels = optional (types.attrsOf types.str) { };
        annotations = optional (types.attrsOf types.str) { };
        services = optional anything { };
        processCompose = optional anything { };
        modularServices = optional anything { };
        files = optional anything { };
        directories = optional anything { };
        links = optional (types.attrsOf types.str) { };
        exposedPorts = option (types.listOf types.str);
        workingDir = option types.str;
        user = option types.str;
        stopSignal = option types.str;
        healthcheck = option anything;
      };
    };
  };
}
