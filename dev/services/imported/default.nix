# What `import pkgs.path` gives in the test of config/services.nix: an Ollama that tells how
# it was asked for.
{ system, overlays, config }:
let
  inherit (config) lib;
  free = config.allowUnfreePredicate { licence = "CUDA"; } && !config.allowUnfreePredicate { licence = "other"; };
  ollama = {
    type = "derivation";
    name = "ollama";
    outPath = "/cuda-${lib.boolToString (config.cudaSupport && free)}";
    meta.mainProgram = "ollama";
  };
in
import ../pkgs.nix { inherit lib; } // { ollama.override = _: ollama; }
