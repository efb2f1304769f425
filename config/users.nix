{ config, lib, ... }:
let
  cfg = config.users.root;
  file = "/etc/nix2vast/authorized_keys";
  password = cfg.hashedPassword;
in
{
  options.users.root = {
    authorizedKeys = lib.mkOption {
      type = lib.types.listOf lib.types.singleLineStr;
      default = [ ];
      example = [ "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA… me@laptop" ];
      description = "Public keys that may log in as root, beside those that the container is started with.";
    };
    hashedPassword = lib.mkOption {
      type = lib.types.nullOr lib.types.singleLineStr;
      default = null;
      example = "$y$j9T$WFoiErKnEnMcGq0ruQK4K.$4nJAY3LBeBsZBTYSkdTOejKU6KlDmhnfUV3Ll1K/1b.";
      description = ''
        The hash of root's password, as mkpasswd prints it. Everybody who has the image can read it and try passwords
        against it, so take a long one. ROOT_PASSWORD, where the container is started with it, wins.
      '';
    };
  };

  config = {
    arguments = lib.mkMerge [
      (lib.mkIf (cfg.authorizedKeys != [ ]) {
        files.${file}.text = lib.concatMapStrings (key: key + "\n") cfg.authorizedKeys;
        # init joins what all of its variables name; few hosts set this one.
        env.AUTHORIZED_KEYS_FILE = lib.mkDefault file;
      })
      (lib.mkIf (password != null) { rootPassword = password; })
    ];
    assertions = [{
      assertion = password == null || builtins.match "[$](y|gy|7|2[aby]|5|6)[$][-+./A-Za-z0-9$,=]{20,}" password != null;
      message = "users.root.hashedPassword: this is no hash of a password. If it is the password itself, it is in the Nix store "
        + "by now: take another, and give what `mkpasswd` prints, which begins with $y$ or $6$.";
    }] ++ map
      (key: {
        assertion = builtins.match ".*PRIVATE KEY.*" key == null
          && builtins.match "(.* )?(ssh-|ecdsa-|sk-)[^ ]+ AAAA[^ ]+( .*)?" key != null;
        message = "users.root.authorizedKeys: \"${builtins.substring 0 30 key}…\" is no public key. Give a line such as "
          + "~/.ssh/id_ed25519.pub holds: ssh-ed25519 AAAA… NAME";
      })
      cfg.authorizedKeys;
  };
}
