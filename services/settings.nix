# The project of process-compose that `services.<service>.<instance>` fills: a module of a
# container. It takes the part of process-compose-flake's `settings` that services-flake
# uses; what the keys mean to init is in compose/compose.go.
#
# `processCompose` is the result, for image.Config.ProcessCompose.
{ config, lib, pkgs, ... }:
let
  inherit (lib) mkOption types;

  # Not types.submodule, which takes `imports` for a setting: services say what they add by it.
  module = m: types.submoduleWith { modules = [ m ]; };

  process = {
    freeformType = types.attrsOf types.anything;
    options = {
      command = mkOption {
        type = types.nullOr (types.either types.package types.str);
        default = null;
        apply = command: if command == null || builtins.isString command then command else lib.getExe command;
        example = "exec python3 -m http.server 8000";
        description = "What runs: a package with one program, or a line for bash.";
      };
      environment = mkOption {
        type = types.nullOr (types.either (types.listOf types.str) (types.attrsOf (types.oneOf [ types.str types.int types.path ])));
        default = null;
        apply = environment:
          if builtins.isAttrs environment then lib.mapAttrsToList (key: value: "${key}=${toString value}") environment else environment;
        example = { OMP_NUM_THREADS = 8; };
        description = "Variables of the process, over those of the box.";
      };
    };
  };

  project = {
    freeformType = types.attrsOf types.anything;
    options.processes = mkOption {
      type = types.attrsOf (module process);
      default = { };
      example = { web.command = "exec python3 -m http.server 8000"; };
      description = "Processes, by name, with the keys of process-compose.";
    };
    config = {
      # Nix has put in what there was to put in; what is left of $ in a command is bash's.
      disable_env_expansion = lib.mkDefault true;
      shell = {
        shell_command = lib.mkDefault "${pkgs.bash}/bin/bash";
        shell_argument = lib.mkDefault "-c";
      };
    };
  };

  set = lib.filterAttrs (_: value: value != null);
in
{
  options = {
    settings = mkOption {
      type = module project;
      default = { };
      example = { ordered_shutdown = true; };
      description = "A project of process-compose; services add their processes to it.";
    };

    gpuPackages = mkOption {
      type = types.raw;
      default = pkgs;
      defaultText = lib.literalMD "nixpkgs with `cudaSupport`, where `cuda.enable` is set";
      internal = true;
      description = "The packages that our own services run.";
    };

    # services-flake sets process-compose's own flags, which have no meaning here.
    cli = mkOption {
      type = types.submodule { freeformType = types.lazyAttrsOf types.raw; };
      default = { };
      internal = true;
      description = "Without effect.";
    };

    processCompose = mkOption {
      type = types.attrsOf types.anything;
      internal = true;
      readOnly = true;
      description = "The project as init reads it; empty where nothing runs.";
    };
  };

  config.processCompose =
    if config.settings.processes == { } then { }
    else config.settings // { processes = lib.mapAttrs (_: set) config.settings.processes; };
}
