# The image of the demo and the tests: ../image with Debian's packages.
{ debs, init }:
let
  pkgs = import ./debs.nix { inherit debs; };
in
import ../image {
  inherit pkgs;
  init = builtins.path { path = init; name = "init"; };
  name = "nix2vast";
  tag = "demo";
  packages = import ../image/packages.nix pkgs ++ [ pkgs.patchelf ];
  foreignLibraries = [ pkgs.stdenv.cc.cc.lib pkgs.zlib ];
  links."/gnu" = "${pkgs.glibc}/etc"; # see unpack.sh
}
