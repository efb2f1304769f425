{ config, lib, pkgs, ... }:
{
  options.base = {
    packages = lib.mkOption {
      type = lib.types.listOf lib.types.package;
      default = import ../image/packages.nix pkgs;
      defaultText = lib.literalMD "those in `image/packages.nix`";
      example = lib.literalExpression "[ pkgs.bash pkgs.coreutils pkgs.openssh ]";
      description = ''
        What every box has: what somebody who logs in expects, and what hosts call when they start one. A list in its
        place may leave out what your host does not call; without bash nobody logs in.
      '';
    };
    libraries = lib.mkOption {
      type = lib.types.listOf lib.types.package;
      default = [ pkgs.stdenv.cc.cc.lib pkgs.zlib ];
      defaultText = lib.literalExpression "[ pkgs.stdenv.cc.cc.lib pkgs.zlib ]";
      example = lib.literalExpression "[ pkgs.stdenv.cc.cc.lib pkgs.zlib pkgs.libGL ]";
      description = "Libraries that programs find which Nix did not build, such as wheels from PyPI.";
    };
  };

  config.arguments = {
    inherit (config.base) packages;
    foreignLibraries = config.base.libraries;
  };
}
