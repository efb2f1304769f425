# See testdata/vllm.json.
{
  services.vllm = {
    small = {
      enable = true;
      model = "Qwen/Qwen3-8B";
    };
    large = {
      enable = true;
      model = "/workspace/models/a large one";
      port = 8001;
      tensorParallel = 4;
      patience = 600;
      apiKeyFile = "/run/secrets/vllm-key";
      tokenFile = "/run/secrets/hf-token";
      extraArgs = [ "--max-model-len" "8192" ];
      after.small = "process_healthy";
    };
  };
}
