{ config, lib, ... }:
{
  options.workingDir = lib.mkOption {
    type = lib.types.strMatching "/.*";
    default = "/root";
    example = "/workspace";
    description = "Where the main command starts, and what docker exec runs.";
  };

  config.arguments = { inherit (config) workingDir; };
}
