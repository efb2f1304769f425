# All services of a box have one set of names, whatever option they come from.
{ config, lib, options, ... }:
let
  own = map (name: { inherit name; option = "nix2vast itself"; }) [ "sshd" "gpu" "tailnet" "metrics" "nix-database" "main" ];
  given = option: set: map (name: { inherit name; option = "${option}.${name}"; }) (builtins.attrNames set);
  # Whoever adds a variable to the process of an instance means that one; whoever gives a command means another.
  written = options.processes.definitions ++ map (definition: definition.processes or { }) options.settings.definitions;
  says = name: lib.any (processes: processes.${name}.command or null != null) written;
  claims = own
    ++ config.processClaims
    ++ given "processes" (lib.filterAttrs (name: _: !lib.any (claim: claim.name == name) config.processClaims || says name)
      config.settings.processes)
    ++ given "system.services" config.arguments.modularServices
    ++ map (name: { inherit name; option = config.serviceOptions.${name}; }) (builtins.attrNames config.arguments.services);
  twice = lib.filterAttrs (_: claims: builtins.length claims > 1) (lib.groupBy (claim: claim.name) claims);
in
{
  options.serviceOptions = lib.mkOption {
    type = lib.types.attrsOf lib.types.str;
    default = { };
    internal = true;
    description = "Which option each of arguments.services comes from.";
  };

  options.processClaims = lib.mkOption {
    type = lib.types.listOf lib.types.raw;
    default = [ ];
    internal = true;
    description = "Names of processes that an instance of a service has: { option, name }.";
  };

  config.assertions = lib.mapAttrsToList
    (name: claims: {
      assertion = false;
      message = "the service name \"${name}\" is taken twice: by "
        + "${lib.concatMapStringsSep " and by " (claim: claim.option) claims}. Give one of them another name.";
    })
    twice;
}
