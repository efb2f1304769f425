{ config, lib, ... }:
let
  cfg = config.home;
  inside = path: builtins.match "/.*|(.*/)?[.][.](/.*)?" path == null;
in
{
  options.home = {
    files = lib.mkOption {
      type = lib.types.attrsOf lib.types.anything;
      default = { };
      example = lib.literalExpression ''{ ".config/git/config".text = "[user]\n"; ".vimrc".source = ./vimrc; }'';
      description = "Files of root's home, by their path in it, with what `files` takes: text, source, mode.";
    };
    activation = lib.mkOption {
      type = lib.types.nullOr lib.types.package;
      default = null;
      example = lib.literalExpression "homeConfigurations.root.activationPackage";
      description = "What home-manager makes of a home for root. It is activated in the box, once its Nix is ready.";
    };
  };

  config = {
    files = lib.mapAttrs' (path: lib.nameValuePair "/root/${path}") (lib.filterAttrs (path: _: inside path) cfg.files);
    arguments.services.home = lib.mkIf (cfg.activation != null) {
      Type = "oneshot";
      ExecStart = [ "${cfg.activation}/activate" ];
      After = [ "nix-database" ];
      Environment = { HOME = "/root"; USER = "root"; };
    };
    serviceOptions.home = "home.activation";
    assertions = lib.mapAttrsToList
      (path: _: {
        assertion = inside path;
        message = "home.files.\"${path}\": the path is one in root's home, such as \".vimrc\". For others there is files.";
      })
      cfg.files
    ++ [{
      assertion = cfg.activation == null || config.nix.enable;
      message = "home.activation: home-manager keeps its generations with Nix. Set nix.enable = true.";
    }];
  };
}
