{ config, lib, pkgs, ... }:
{
  options.dev = {
    enable = lib.mkOption {
      type = lib.types.bool;
      default = true;
      example = false;
      description = "Whether compilers, Python and their like are there.";
    };
    packages = lib.mkOption {
      type = lib.types.listOf lib.types.package;
      default = [
        pkgs.file
        pkgs.gcc
        pkgs.gdb
        pkgs.git
        pkgs.gnumake
        pkgs.patchelf
        pkgs.pkg-config
        pkgs.python3
        pkgs.strace
        pkgs.uv
      ];
      defaultText = lib.literalMD "file, gcc, gdb, git, gnumake, patchelf, pkg-config, python3, strace, uv";
      example = lib.literalExpression "[ pkgs.gcc pkgs.python312 pkgs.uv ]";
      description = "Which they are.";
    };
  };

  config.arguments.groups = lib.mkIf config.dev.enable
    (lib.mkOrder 1000 [{ name = "dev"; inherit (config.dev) packages; }]);
}
