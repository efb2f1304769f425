{ config, lib, ... }:
let
  cfg = config.ssh;
  value = with lib.types; oneOf [ str int bool ];
  text = v: if builtins.isBool v then (if v then "yes" else "no") else toString v;
  # sshd obeys the first value, and init's own file is 10-nix2vast.conf.
  file = "/etc/ssh/sshd_config.d/05-image.conf";
in
{
  options.ssh = {
    enable = lib.mkOption {
      type = lib.types.bool;
      default = true;
      example = false;
      description = "Whether boxes have sshd. Without it they are reached by what the host offers alone.";
    };
    port = lib.mkOption {
      type = lib.types.port;
      default = 22;
      example = 2222;
      description = "The port of sshd.";
    };
    settings = lib.mkOption {
      type = lib.types.attrsOf value;
      default = { };
      example = { MaxSessions = 50; X11Forwarding = true; };
      description = "Settings of sshd, see sshd_config(5). They win over init's own.";
    };
    allowEmptyPassword = lib.mkOption {
      type = lib.types.bool;
      default = false;
      example = true;
      description = "Whether settings may let root in without a password. On a public address that is everybody.";
    };
  };

  config = {
    arguments = {
      ssh = cfg.enable;
      env.SSH_PORT = lib.mkIf (cfg.port != 22) (toString cfg.port);
      files.${file} = lib.mkIf (cfg.settings != { }) {
        text = lib.concatStrings (lib.mapAttrsToList (key: v: "${key} ${text v}\n") cfg.settings);
      };
    };
    ports = lib.optional cfg.enable { option = "ssh.port"; inherit (cfg) port; };
    assertions = lib.mapAttrsToList
      (key: v: {
        assertion = lib.toLower key != "permitemptypasswords" || text v == "no" || cfg.allowEmptyPassword;
        message = "ssh.settings.${key}: anybody who reaches the port could log in as root. Set SSH_PUBLIC_KEYS or "
          + "ROOT_PASSWORD where the container is started; if you want it all the same, set ssh.allowEmptyPassword = true.";
      })
      cfg.settings
    ++ lib.mapAttrsToList
      (key: _: {
        assertion = lib.toLower key != "port";
        message = "ssh.settings.${key}: init has to know the port, to say when sshd is ready. Set ssh.port.";
      })
      cfg.settings;
  };
}
