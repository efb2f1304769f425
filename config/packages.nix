{ config, lib, ... }:
{
  options.packages = lib.mkOption {
    type = lib.types.listOf lib.types.package;
    default = [ ];
    example = lib.literalExpression "[ pkgs.ffmpeg pkgs.nodejs ]";
    description = "Packages whose programs are on PATH, before those of base, dev and shell.";
  };

  config.arguments.groups = lib.mkOrder 1400 [{ name = "packages"; inherit (config) packages; }];
}
