{ config, lib, ... }:
{
  options.user = lib.mkOption {
    type = lib.types.str;
    default = "";
    example = "10001:10001";
    description = ''
      As whom the container runs: a number or name, and a group behind a colon. As anybody but root, which "" is,
      init gives up what it may not do, accounts and sshd among it, and says so.
    '';
  };

  config.arguments = { inherit (config) user; };
}
