{ config, lib, pkgs, ... }:
let
  hook = name: keys: { inherit name keys; };
  hooks = {
    boot = hook "hook-boot" { };
    gpu = hook "hook-gpu" { After = [ "gpu" ]; };
    preGpu = hook "hook-pre-gpu" { Before = [ "gpu" ]; };
    preServices = hook "hook-pre-services" { }; # init knows all services, those of unit files too
    postReady = hook "hook-post-ready" { Disabled = true; }; # init starts it
  };
in
{
  options.hooks = {
    boot = lib.mkOption {
      type = lib.types.lines;
      default = "";
      example = "mkdir -p /workspace/cache";
      description = ''
        Lines for bash that run when the box boots, once and as root. Nothing waits for them but who names hook-boot in
        After.
      '';
    };
    gpu = lib.mkOption {
      type = lib.types.lines;
      default = "";
      example = "nvidia-smi --persistence-mode=1";
      description = "The same, once the driver answers.";
    };
    preGpu = lib.mkOption {
      type = lib.types.lines;
      default = "";
      example = "for second in $(seq 30); do test -e /dev/nvidiactl && break; sleep 1; done";
      description = ''
        The same, before the driver is looked at: the service gpu and what is After it wait for the end of hook-pre-gpu. They
        start then even where it has failed, which `init status` shows.
      '';
    };
    preServices = lib.mkOption {
      type = lib.types.lines;
      default = "";
      example = "test -e /workspace/model || curl -fsS https://models.example.org/model -o /workspace/model";
      description = ''
        The same, before processes, services and system.services: none of them starts before hook-pre-services has ended. They
        start then even where it has failed, which `init status` shows. Where it does not end they wait, until somebody says
        `init stop hook-pre-services`. sshd, the tailnet, the driver, home.activation, the other hooks and the container's
        command do not wait.
      '';
    };
    postReady = lib.mkOption {
      type = lib.types.lines;
      default = "";
      example = "curl -fsS https://fleet.example.org/ready";
      description = ''
        The same, once the box is ready, or degraded because something has failed; never again in that boot. The box is ready
        without waiting for hook-post-ready, and no service can wait for it.
      '';
    };
  };

  config = {
    arguments.services = lib.mapAttrs'
      (option: { name, keys }: lib.nameValuePair name (lib.mkIf (config.hooks.${option} != "") ({
        Type = "oneshot";
        ExecStart = [ "${pkgs.bash}/bin/bash" "-euc" config.hooks.${option} ];
      } // keys)))
      hooks;
    serviceOptions = lib.mapAttrs' (option: { name, ... }: lib.nameValuePair name "hooks.${option}") hooks;
  };
}
