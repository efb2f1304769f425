# nixpkgs' modular services, `system.services.<name>`: a module of a container.
#
#   imports = [ (import ../services/modular.nix { inherit lib pkgs; nixpkgs = pkgs.path; }) ];
#
# `nixpkgs` is the source of a nixpkgs: its lib/services has the type, of which this is the
# service manager (see lib.services.configure there). It needs the options `assertions` and
# `warnings` of a container, and sets `modularServices`, for image.Config.ModularServices:
# what modular/modular.go reads. What that page calls "nix2vast" is the option of a service
# that only we have; `systemd` is there because modules set it where it is an option.
{ lib, pkgs, nixpkgs }:
{ config, ... }:
let
  inherit (lib) mkOption types;

  # Where it was until NixOS 25.11, and where it is.
  places = builtins.filter builtins.pathExists
    [ (nixpkgs + "/lib/services/lib.nix") (nixpkgs + "/nixos/modules/system/service/portable/lib.nix") ];
  portable = import (builtins.head places) { inherit lib; };

  # As systemd.services of NixOS, without its types.
  unit = types.submoduleWith { modules = [{ freeformType = types.attrsOf types.anything; }]; };

  escape = argument:
    builtins.replaceStrings [ "%" "$" ] [ "%%" "$$" ] (builtins.toJSON (toString argument));

  # Of a service and all below it; `above` is what stands before their names.
  ours = above: { config, name, ... }: {
    _class = "service";
    options = {
      nix2vast = mkOption {
        type = types.submodule {
          freeformType = types.attrsOf types.anything;
          options = {
            After = mkOption {
              type = types.listOf types.str;
              default = [ ];
              example = [ "gpu" ];
              description = "Services that have to be ready, or to have failed, before this one starts.";
            };
            Requires = mkOption {
              type = types.listOf types.str;
              default = [ ];
              example = [ "db" ];
              description = "Services that have to be ready before this one starts, and restart it when they do.";
            };
            Restart = mkOption {
              type = types.nullOr (types.enum [ "no" "on-success" "on-failure" "on-abnormal" "on-abort" "on-watchdog" "always" ]);
              default = null;
              example = "on-failure";
              description = "When it is started again. null: what the module says for systemd, or always.";
            };
            User = mkOption {
              type = types.nullOr types.str;
              default = null;
              example = "nobody";
              description = "Whose rights it has. null: what the module says for systemd, or root.";
            };
            Probe = mkOption {
              type = types.nullOr (types.attrsOf types.anything);
              default = null;
              example = { HTTP = "http://127.0.0.1:8080/health"; };
              description = "What tells that it is ready: HTTP, TCP or Exec.";
            };
          };
        };
        default = { };
        example = { After = [ "gpu" ]; StateDirectory = [ "web" ]; };
        description = "What only nix2vast's init reads, over all that is said elsewhere: any field of a service of its.";
      };

      systemd = {
        service = mkOption {
          type = unit;
          default = { };
          example = { serviceConfig.User = "nobody"; };
          description = "The service as systemd.services of NixOS has it. What a container cannot do is reported.";
        };
        services = mkOption {
          type = types.attrsOf unit;
          default = { };
          example = { setup.script = "echo"; };
          description = "Further units; they are reported and not run.";
        };
        sockets = mkOption {
          type = types.attrsOf types.raw;
          default = { };
          example = { };
          description = "Without effect.";
        };
        socket = mkOption {
          type = types.attrsOf types.raw;
          default = { };
          example = { };
          description = "Without effect.";
        };
        mainExecStart = mkOption {
          type = types.nullOr types.str;
          default = null;
          example = "\${lib.getExe pkgs.hello} %n";
          description = "A command line of systemd in place of process.argv.";
        };
        lib = mkOption {
          type = types.lazyAttrsOf types.raw;
          readOnly = true;
          internal = true;
          default = { escapeSystemdExecArgs = lib.concatMapStringsSep " " escape; };
          description = "Functions for mainExecStart.";
        };
      };

      configData = mkOption {
        type = types.lazyAttrsOf (types.submodule ({ config, ... }: {
          config.path = lib.mkDefault "/etc/nix2vast/services/${above}${name}/${config.name}";
        }));
      };

      services = mkOption {
        type = types.attrsOf (types.submoduleWith { modules = [ (ours "${above}${name}.") ]; });
      };
    };
  };

  # Later nixpkgs have services that are not to run.
  enabled = lib.filterAttrs (_: service: service.enable or true);

  given = lib.filterAttrs (_: value: value != null);

  lower = service: {
    process = given (lib.filterAttrs (key: _: builtins.elem key [ "argv" "environment" "reloadCommand" "reloadSignal" ]) service.process);
    configData = lib.mapAttrs
      (_: file: { inherit (file) path; } // (if file.text != null then { inherit (file) text; } else { source = "${file.source}"; }))
      (lib.filterAttrs (_: file: file.enable) service.configData);
    systemd.service = service.systemd.service // lib.optionalAttrs (service.systemd.mainExecStart != null) {
      serviceConfig = service.systemd.service.serviceConfig or { } // { ExecStart = service.systemd.mainExecStart; };
    };
    systemd.services = builtins.removeAttrs service.systemd.services [ "" ];
    nix2vast = given (lib.filterAttrs (_: value: value != [ ]) service.nix2vast);
    services = lib.mapAttrs (_: lower) (enabled service.services);
  } // lib.optionalAttrs (service ? notificationProtocol) { inherit (service) notificationProtocol; };

  all = f: lib.concatLists (lib.mapAttrsToList (name: f [ "system" "services" name ]) config.system.services);
in
{
  options = {
    system.services = mkOption {
      type =
        if places == [ ] then types.attrsOf types.raw
        else types.attrsOf (portable.configure { serviceManagerPkgs = pkgs; extraRootModules = [ (ours "") ]; }).serviceSubmodule;
      default = { };
      example = lib.literalExpression ''{ web = { imports = [ pkgs.ghostunnel.services.default ]; nix2vast.After = [ "gpu" ]; }; }'';
      description = "Modular services of nixpkgs, by name.";
    };

    modularServices = mkOption {
      type = types.attrsOf types.anything;
      internal = true;
      readOnly = true;
      description = "The services as init reads them.";
    };
  };

  config = {
    modularServices = lib.mapAttrs (_: lower) (enabled config.system.services);
    warnings = lib.optionals (places != [ ]) (all portable.getWarnings);
    assertions = lib.optionals (places != [ ]) (all portable.getAssertions) ++ [{
      assertion = places != [ ] || config.system.services == { };
      message = "system.services: this nixpkgs has no modular services. Take one of NixOS 25.11 or later, or say what runs in processes.";
    }];
  };
}
