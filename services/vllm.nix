# vLLM: one model behind the API of OpenAI (port 8000). Ready when /health answers, for
# which it has `patience`: it fetches, loads and compiles first. It starts when the driver
# answers. dataDir keeps what it fetches (HF_HOME) and compiles (VLLM_CACHE_ROOT).
{ config, lib, name, pkgs, ... }:
let
  inherit (lib) mkOption types;
  ours = import ./lib.nix { inherit lib pkgs; };
  probe = ours.answers { inherit (config) host port patience; path = "/health"; };
  arguments = [ "serve" config.model "--host" config.host "--port" (toString config.port) ]
    ++ lib.optionals (config.tensorParallel != 1) [ "--tensor-parallel-size" (toString config.tensorParallel) ]
    ++ config.extraArgs;
in
{
  options = {
    package = ours.packageOption "vllm" pkgs.vllm;

    model = mkOption {
      type = types.str;
      example = "Qwen/Qwen3-8B";
      description = "The model: its name at Hugging Face, or a directory in the box.";
    };

    host = ours.hostOption;
    port = ours.portOption 8000 "the API";

    tensorParallel = mkOption {
      type = types.ints.positive;
      default = 1;
      example = 2;
      description = "The number of GPUs that share the model.";
    };

    patience = mkOption {
      type = types.ints.between 10 86400;
      default = 3600;
      example = 600;
      description = "How many seconds it may take to become ready.";
    };

    apiKeyFile = mkOption {
      type = types.nullOr types.str;
      default = null;
      example = "/run/secrets/vllm-key";
      description = "A file in the box with the key that clients must have (VLLM_API_KEY). null: anyone who reaches the port.";
    };

    tokenFile = mkOption {
      type = types.nullOr types.str;
      default = null;
      example = "/run/secrets/hf-token";
      description = "A file in the box with a token of Hugging Face (HF_TOKEN), for models that ask for one.";
    };

    environment = ours.environmentOption { VLLM_LOGGING_LEVEL = "WARNING"; };
    extraArgs = ours.argsOption "`vllm serve`" [ "--max-model-len" "8192" ];
  };

  config = {
    after.gpu = lib.mkDefault "process_completed_successfully";

    outputs.settings.processes.${name} = {
      command = ours.secret "VLLM_API_KEY" config.apiKeyFile + ours.secret "HF_TOKEN" config.tokenFile
        + ''${ours.enter config.dataDir} && HF_HOME="$PWD/huggingface" VLLM_CACHE_ROOT="$PWD/cache" exec ''
        + lib.escapeShellArgs ([ "${config.package}/bin/vllm" ] ++ arguments);
      environment = { VLLM_NO_USAGE_STATS = "1"; } // config.environment;
      readiness_probe = probe;
      liveness_probe = ours.alive 12 probe;
      availability = ours.restart;
      shutdown.timeout_seconds = 30; # it frees the GPUs' memory
    };
  };
}
