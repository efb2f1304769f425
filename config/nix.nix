{ config, lib, pkgs, ... }:
{
  options.nix = {
    enable = lib.mkOption {
      type = lib.types.bool;
      default = true;
      example = false;
      description = "Whether the box has Nix, and a database of what is in the image.";
    };
    package = lib.mkOption {
      type = lib.types.package;
      default = pkgs.nix;
      defaultText = lib.literalExpression "pkgs.nix";
      example = lib.literalExpression "pkgs.nixVersions.latest";
      description = "Which Nix.";
    };
  };

  config.arguments.nix = if config.nix.enable then config.nix.package else null;
}
