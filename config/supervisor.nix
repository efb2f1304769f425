{ config, lib, ... }:
let
  cfg = config.supervisor;
in
{
  options.supervisor = {
    stopTimeout = lib.mkOption {
      type = lib.types.strMatching "[0-9]+(ms|s|m)";
      default = "9s";
      example = "60s";
      description = "What all services together get to stop. docker kills after 10 s, unless it is told otherwise.";
    };
    log = lib.mkOption {
      type = lib.types.enum [ "text" "json" ];
      default = "text";
      example = "json";
      description = "How init writes its log.";
    };
    metrics = lib.mkOption {
      type = lib.types.nullOr (lib.types.strMatching "[^:]*:[0-9]+");
      default = null;
      example = ":9400";
      description = "Where Prometheus gets metrics.";
    };
    workspace = lib.mkOption {
      type = lib.types.strMatching "/.*";
      default = "/workspace";
      example = "/data";
      description = "The directory of the renter's data, where the host names no other.";
    };
    logDir = lib.mkOption {
      type = lib.types.strMatching "/.+";
      default = "/var/log/nix2vast";
      example = "/workspace/logs";
      description = "Where the logs of services are written, each in a directory of its name.";
    };
    statusSocket = lib.mkOption {
      type = lib.types.strMatching "/.{1,106}";
      default = "/run/nix2vast/control.sock";
      example = "/shared/init.sock";
      description = ''
        Where init answers. At the default place is a link to it, so that init's own verbs find it in any case. Whoever
        is to ask has to be able to enter its directory.
      '';
    };
    onExit = lib.mkOption {
      type = lib.types.enum [ "keep" "exit" ];
      default = "keep";
      example = "exit";
      description = ''
        What follows once all services of the image and of the user have ended for good. keep: nothing, the box stays.
        exit: the container ends, with the exit code of the first that failed, or 0; for batch jobs.
      '';
    };
  };

  config = {
    arguments.env = lib.mkMerge [
      (lib.mkIf (cfg.stopTimeout != "9s") { NIX2VAST_STOP_TIMEOUT = cfg.stopTimeout; })
      (lib.mkIf (cfg.log != "text") { NIX2VAST_LOG = cfg.log; })
      (lib.mkIf (cfg.metrics != null) { NIX2VAST_METRICS_ADDR = cfg.metrics; })
      (lib.mkIf (cfg.logDir != "/var/log/nix2vast") { NIX2VAST_LOG_DIR = cfg.logDir; })
      (lib.mkIf (cfg.statusSocket != "/run/nix2vast/control.sock") { NIX2VAST_SOCKET = cfg.statusSocket; })
      (lib.mkIf (cfg.onExit != "keep") { NIX2VAST_ON_EXIT = cfg.onExit; })
      (lib.mkIf (cfg.workspace != "/workspace") { WORKSPACE = cfg.workspace; })
    ];
    ports = lib.optional (cfg.metrics != null) {
      option = "supervisor.metrics";
      port = lib.toInt (lib.last (lib.splitString ":" cfg.metrics));
    };
  };
}
