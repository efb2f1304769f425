{ config, lib, ... }:
{
  options.directories = lib.mkOption {
    type = lib.types.attrsOf (lib.types.submodule {
      imports = [ ../modules/owner.nix ];
      options = {
        mode = lib.mkOption {
          type = lib.types.strMatching "0?[0-7]{3,4}";
          default = "0755";
          example = "1777";
          description = "Its mode.";
        };
      };
    });
    default = { };
    example = { "/data".mode = "1777"; };
    description = "Directories of the image, by path.";
  };

  config.arguments.directories = lib.mapAttrs
    (_: d: { inherit (d) mode; } // lib.filterAttrs (_: id: id != 0) { inherit (d) uid gid; })
    config.directories;
}
