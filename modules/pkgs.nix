# The package set of containers: a nixpkgs in which, of what is not free, CUDA alone may be
# used: who asks for CUDA knows whose licence it has. A set whose author allows what is not
# free is taken as it is.
pkgs:
if pkgs.config.allowUnfree or false then pkgs
else
  import pkgs.path {
    inherit (pkgs.stdenv.hostPlatform) system;
    inherit (pkgs) overlays;
    config = pkgs.config // {
      allowUnfreePredicate = package:
        pkgs._cuda.lib.allowUnfreeCudaPredicate package || (pkgs.config.allowUnfreePredicate or (_: false)) package;
    };
  }
