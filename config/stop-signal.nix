{ config, lib, ... }:
{
  options.stopSignal = lib.mkOption {
    type = lib.types.enum [ "SIGTERM" "SIGINT" "SIGQUIT" "SIGHUP" ];
    default = "SIGTERM";
    example = "SIGINT";
    description = "What the engine sends to stop the container.";
  };

  config.arguments = { inherit (config) stopSignal; };
}
