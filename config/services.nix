# services.<service>.<instance>, processes and settings: see ../services.
{ config, lib, pkgs, servicesFlake, ... }:
let
  # { option, cfg } of each instance that is enabled.
  instances = lib.concatLists (lib.mapAttrsToList
    (service: all: lib.mapAttrsToList (name: cfg: { option = "services.${service}.${name}"; inherit cfg; }) (lib.filterAttrs (_: cfg: cfg.enable) all))
    (builtins.removeAttrs config.services [ "outputs" ])); # of services-flake, and no service
  packages = lib.unique (builtins.filter lib.isDerivation (map (instance: instance.cfg.package or null) instances));

  # nixpkgs' PyTorch and what is built on it uses no GPU unless all of nixpkgs is asked to.
  # Of what is not free, CUDA alone is allowed by it, as in cuda.nix.
  withCuda = import pkgs.path {
    inherit (pkgs.stdenv.hostPlatform) system;
    inherit (pkgs) overlays;
    config = pkgs.config // {
      cudaSupport = true;
      allowUnfreePredicate = package:
        pkgs._cuda.lib.allowUnfreeCudaPredicate package || (pkgs.config.allowUnfreePredicate or (_: false)) package;
    };
  };
in
{
  imports = [
    (import ../services { inherit lib servicesFlake; })
    (lib.mkAliasOptionModule [ "processes" ] [ "settings" "processes" ])
  ];

  config = {
    gpuPackages = lib.mkIf (config.cuda.enable && !(pkgs.config.cudaSupport or false)) withCuda;
    arguments = {
      inherit (config) processCompose;
      # Who logs in wants their programs too.
      groups = lib.mkIf (packages != [ ]) (lib.mkOrder 1200 [{ name = "services"; inherit packages; }]);
    };
    processClaims = lib.concatMap
      (instance: map (name: { inherit name; inherit (instance) option; }) (builtins.attrNames instance.cfg.outputs.settings.processes))
      instances;
    ports = lib.concatMap
      (instance: map (key: { option = "${instance.option}.${key}"; port = instance.cfg.${key}; })
        (builtins.filter (key: builtins.isInt (instance.cfg.${key} or null) && instance.cfg.${key} != 0) [ "port" "nodePort" "dashboardPort" ]))
      instances;
  };
}
