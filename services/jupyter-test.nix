# See testdata/jupyter.json.
{ pkgs, ... }:
{
  services.jupyter = {
    lab.enable = true;
    shared = {
      enable = true;
      port = 8889;
      root = "/root";
      dataDir = "/workspace/my notebooks";
      tokenFile = "/run/secrets/jupyter";
      kernels = [ pkgs.uv ];
      after.gpu = "process_completed_successfully";
    };
  };
}
