# One of our services as any number of instances, `services.<service>.<instance>`, in the
# shape that services-flake's multiService gives to its own: a file takes
# { config, lib, name, pkgs, ... }, has options, and says what runs in
# `outputs.settings.processes`. It is written again here because our services work without
# that flake.
#
# multi : path -> module of a container. Beside the options of the file, each instance has
# `enable`, `dataDir`, `namespace` and `after`.
file:
{ config, lib, ... }:
let
  inherit (lib) mkDefault mkOption types;
  service = lib.removeSuffix ".nix" (baseNameOf file);

  instance = { config, name, ... }: {
    options = {
      enable = lib.mkEnableOption "the instance ${name} of ${service}";

      dataDir = mkOption {
        type = types.str;
        default = "./data/${name}";
        example = "/workspace/${service}";
        description = ''
          Where the instance keeps its data. A relative path is below the box's workspace, which is
          /workspace unless the variable WORKSPACE says otherwise. The directory is made at each start.
        '';
      };

      namespace = mkOption {
        type = types.str;
        default = "${service}.${name}";
        example = "inference";
        description = "What `init status` shows as the description of the instance's processes.";
      };

      after = mkOption {
        type = types.attrsOf (types.enum [
          "process_started"
          "process_healthy"
          "process_log_ready"
          "process_completed"
          "process_completed_successfully"
        ]);
        default = { };
        example = { gpu = "process_completed_successfully"; };
        description = ''
          What the instance waits for: names of processes, and `gpu`, the step that makes the host's driver
          usable. With `process_completed` it waits until that was tried once, with
          `process_completed_successfully` until the driver answers.
        '';
      };

      outputs = {
        defaultProcessSettings = mkOption {
          type = types.deferredModule;
          internal = true;
          readOnly = true;
          description = "What each process of the instance has by default.";
          default = {
            namespace = mkDefault config.namespace;
            depends_on = lib.mapAttrs (_: condition: { condition = mkDefault condition; }) config.after;
          };
        };
        settings = mkOption {
          type = types.lazyAttrsOf types.raw;
          internal = true;
          description = "The instance's part of the project of process-compose.";
          apply = settings: settings // {
            processes = lib.mapAttrs (_: process: { imports = [ config.outputs.defaultProcessSettings process ]; }) settings.processes;
          };
        };
      };
    };
  };
in
{
  options.services.${service} = mkOption {
    type = types.attrsOf (types.submoduleWith {
      specialArgs.pkgs = config.gpuPackages;
      modules = [ instance file ];
    });
    default = { };
    example = { "${service}1".enable = true; };
    description = "Instances of ${service}, by name.";
  };

  config.settings.imports = map (cfg: cfg.outputs.settings)
    (builtins.filter (cfg: cfg.enable) (builtins.attrValues config.services.${service}));
}
