# ComfyUI: image and video models as graphs in a browser (port 8188). Ready when it
# answers. dataDir has models, custom_nodes, input, output and user; what `models` and
# `customNodes` name is linked there at each start, beside what people put there.
{ config, lib, name, pkgs, ... }:
let
  inherit (lib) mkOption types;
  ours = import ./lib.nix { inherit lib pkgs; };
  inherit (pkgs) coreutils;

  link = below: path: source:
    let target = "${below}/${path}"; in
    "${coreutils}/bin/mkdir -p -- ${lib.escapeShellArg (dirOf target)} && "
    + "${coreutils}/bin/ln -sfn -- ${lib.escapeShellArgs [ "${source}" target ]}";
  links = lib.mapAttrsToList (link "models") config.models ++ lib.mapAttrsToList (link "custom_nodes") config.customNodes;

  probe = ours.answers { inherit (config) host port; path = "/system_stats"; patience = 600; };
  linked = option: example: what: mkOption {
    type = types.attrsOf types.path;
    default = { };
    example = lib.literalExpression example;
    description = "${what}, by their paths below ${option} of dataDir.";
  };
in
{
  options = {
    package = ours.packageOption "comfyui" pkgs.comfyui;
    host = ours.hostOption;
    port = ours.portOption 8188 "the page and the API";

    models = linked "models" ''{ "checkpoints/sdxl.safetensors" = pkgs.fetchurl { url = "…"; hash = "…"; }; }''
      "Models that are part of the image";
    customNodes = linked "custom_nodes" ''{ gguf = pkgs.fetchFromGitHub { owner = "…"; repo = "…"; rev = "…"; hash = "…"; }; }''
      "Nodes that are part of the image";

    environment = ours.environmentOption { PYTORCH_CUDA_ALLOC_CONF = "expandable_segments:True"; };
    extraArgs = ours.argsOption "`comfyui`" [ "--lowvram" ];
  };

  config = {
    after.gpu = lib.mkDefault "process_completed_successfully";

    outputs.settings.processes.${name} = {
      command = lib.concatStringsSep " && " ([ (ours.enter config.dataDir) "${coreutils}/bin/mkdir -p user" ] ++ links ++ [
        (''exec ${config.package}/bin/comfyui --base-directory "$PWD" --database-url "sqlite:///$PWD/user/comfyui.db" ''
          + lib.escapeShellArgs ([ "--listen" config.host "--port" (toString config.port) ] ++ config.extraArgs))
      ]);
      environment = config.environment;
      readiness_probe = probe;
      liveness_probe = ours.alive 30 probe;
      availability = ours.restart;
    };
  };
}
