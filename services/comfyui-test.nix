# See testdata/comfyui.json.
{ pkgs, ... }:
{
  services.comfyui = {
    studio = {
      enable = true;
      host = "0.0.0.0";
      models."checkpoints/it's sdxl.safetensors" = pkgs.writeText "sdxl.safetensors" "";
      customNodes.gguf = pkgs.writeText "gguf" "";
      extraArgs = [ "--lowvram" "--preview-method" "auto" ];
    };
    off.port = 9000; # not enabled: nothing of it runs
  };
}
