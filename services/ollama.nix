# Ollama: language models behind an HTTP API (port 11434). Ready when it answers; then the
# process <name>-models pulls `models` into dataDir, once for all starts.
{ config, lib, name, pkgs, ... }:
let
  inherit (lib) mkOption types;
  ours = import ./lib.nix { inherit lib pkgs; };
  ollama = lib.getExe config.package;
  address = host: "${if lib.hasInfix ":" host then "[${host}]" else host}:${toString config.port}";
in
{
  options = {
    package = ours.packageOption "ollama" (pkgs.ollama.override { inherit (config) acceleration; });

    acceleration = mkOption {
      type = types.nullOr (types.enum [ false "cuda" "rocm" "vulkan" ]);
      default = null;
      example = "vulkan";
      description = "What `package` is built for. null: CUDA, where the image has it; false: processors alone.";
    };

    host = ours.hostOption;
    port = ours.portOption 11434 "the API";

    keepAlive = mkOption {
      type = types.str;
      default = "5m";
      example = "-1";
      description = "How long a model stays in the GPU's memory after its last use: a duration, seconds, or -1 for ever.";
    };

    models = mkOption {
      type = types.listOf types.str;
      default = [ ];
      example = [ "llama3.2" "qwen3:8b" ];
      description = "Models to pull when the server is ready, by their names in Ollama's library.";
    };

    environment = ours.environmentOption { OLLAMA_FLASH_ATTENTION = "1"; };
  };

  config = {
    # Without a driver it runs on processors; it looks for one only when it starts.
    after.gpu = lib.mkDefault "process_completed";

    outputs.settings.processes = {
      ${name} = {
        command = ''${ours.enter config.dataDir} && OLLAMA_MODELS="$PWD" exec ${ollama} serve'';
        environment = {
          OLLAMA_HOST = address config.host;
          OLLAMA_KEEP_ALIVE = config.keepAlive;
        } // config.environment;
        readiness_probe = ours.answers { inherit (config) host port; };
        liveness_probe = ours.alive 12 (ours.answers { inherit (config) host port; });
        availability = ours.restart;
      };
    } // lib.optionalAttrs (config.models != [ ]) {
      "${name}-models" = {
        command = lib.concatMapStringsSep " && " (model: lib.escapeShellArgs [ ollama "pull" model ]) config.models;
        environment.OLLAMA_HOST = address (ours.reach config.host);
        depends_on.${name}.condition = "process_healthy";
        availability = ours.restart // { backoff_seconds = 30; }; # the library may be out of reach for a while
      };
    };
  };
}
