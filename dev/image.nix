# The plan of the image of the demo and the tests: ../image with Debian's packages.
{ debs, init, nix2vast }:
let
  pkgs = import ./debs.nix { inherit debs; };
in
import ../image {
  inherit pkgs;
  init = builtins.path { path = init; name = "init"; };
  nix2vast = builtins.path { path = nix2vast; name = "nix2vast"; };
  name = "nix2vast";
  tag = "demo";
  packages = import ../image/packages.nix pkgs ++ [ pkgs.patchelf ];
  links = {
    "/gnu" = "${pkgs.glibc}/etc"; # see unpack.sh
    "/usr/libexec/nix/build-remote" = "${pkgs.nix}/bin/nix"; # where Debian's Nix looks for itself
  };
}
