{ config, lib, ... }:
let
  value = with lib.types; oneOf [ str int bool (listOf str) ];
in
{
  options.nixConfig = lib.mkOption {
    type = lib.types.attrsOf value;
    default = { };
    example = { extra-substituters = [ "https://cuda-maintainers.cachix.org" ]; };
    description = ''
      Settings of the Nix in the box, see nix.conf(5). What a container has to have is set: no sandbox, no users to
      build as, no filter of system calls.
    '';
  };

  config.arguments.nixSettings = config.nixConfig;
}
