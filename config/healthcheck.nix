{ config, lib, ... }:
let
  seconds = default: example: description: lib.mkOption {
    type = lib.types.ints.positive;
    inherit default example description;
  };
in
{
  options.healthcheck = {
    command = lib.mkOption {
      type = lib.types.listOf lib.types.str;
      default = [ "/bin/init" "status" ];
      example = [ "/bin/init" "status" "--wait" "5s" ];
      description = "What tells whether the box is well, by its exit code. Without words there is no check.";
    };
    interval = seconds 30 60 "Seconds between two checks.";
    timeout = seconds 10 5 "Seconds after which a check has failed.";
    startPeriod = seconds 60 300 "Seconds in which a box that boots may fail its checks.";
  };

  config.arguments.healthcheck = import ../image/healthcheck.nix config.healthcheck;
}
