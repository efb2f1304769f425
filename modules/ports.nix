# Which option claims which port, and who else does.
{ config, lib, ... }:
let
  times = n: if n == 2 then "twice" else "${toString n} times";
  byPort = lib.groupBy (claim: toString claim.port) config.ports;
in
{
  options.ports = lib.mkOption {
    type = lib.types.listOf lib.types.raw;
    default = [ ];
    internal = true;
    description = "Claims of ports: { option, port }.";
  };

  config.assertions = lib.mapAttrsToList
    (port: claims: {
      assertion = builtins.length claims == 1;
      message = "port ${port} is taken ${times (builtins.length claims)}: by "
        + "${lib.concatStringsSep " and " (lib.naturalSort (map (claim: claim.option) claims))}. Give each a port of its own.";
    })
    byPort;
}
