# The image of make bench-image: that of ./image.nix, with CUDA. `edit` changes one
# line of its config.
{ debs, init, nix2vast, edit }:
let
  pkgs = import ./debs.nix { inherit debs; };
in
import ../image {
  inherit pkgs;
  init = builtins.path { path = init; name = "init"; };
  nix2vast = builtins.path { path = nix2vast; name = "nix2vast"; };
  name = "nix2vast-cuda";
  tag = "edit${edit}";
  packages = import ../image/packages.nix pkgs ++ [ pkgs.cuda-toolkit pkgs.cuda-dev ];
  foreignLibraries = with pkgs; [ cudart cublas cublaslt cufft curand cusolver cusolvermg cusparse npp nvjitlink nvjpeg nvrtc ];
  environment.EDIT = edit;
}
