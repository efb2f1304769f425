{ config, lib, ... }:
let
  file = lib.types.submodule {
    imports = [ ../modules/owner.nix ];
    options = {
      text = lib.mkOption {
        type = lib.types.nullOr lib.types.lines;
        default = null;
        example = "two\nlines\n";
        description = "What is in it.";
      };
      source = lib.mkOption {
        type = lib.types.nullOr lib.types.path;
        default = null;
        example = lib.literalExpression "./motd";
        description = "The file, or folder, that is copied.";
      };
      mode = lib.mkOption {
        type = lib.types.strMatching "0?[0-7]{3,4}|";
        default = "";
        example = "0600";
        description = "Its mode; the default is 0644, or 0755 where the source can be executed.";
      };
    };
  };
  # A path of the author's flake becomes one of the store.
  stored = source: if builtins.isPath source then "${source}" else toString source;
in
{
  options.files = lib.mkOption {
    type = lib.types.attrsOf file;
    default = { };
    example = lib.literalExpression ''{ "/etc/motd".text = "hello\n"; "/opt/tool".source = ./tool; }'';
    description = "Files of the image, by path. Everybody who has the image can read them: no place for a secret.";
  };

  config = {
    arguments.files = lib.mapAttrs
      (_: f: lib.filterAttrs (_: v: v != null && v != "") { inherit (f) text mode; }
        // lib.filterAttrs (_: id: id != 0) { inherit (f) uid gid; }
        // lib.optionalAttrs (f.text == "") { text = ""; }
        // lib.optionalAttrs (f.source != null) { source = stored f.source; })
      config.files;
    assertions = lib.mapAttrsToList
      (path: f: {
        assertion = (f.text == null) != (f.source == null);
        message = "files.\"${path}\": it needs a text or a source, and not both.";
      })
      config.files;
  };
}
