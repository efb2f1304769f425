# See testdata/ray.json.
{
  services.ray = {
    head = {
      enable = true;
      gpus = 2;
    };
    worker = {
      enable = true;
      role = "worker";
      head = "100.64.0.7:6379";
      host = "100.64.0.8";
      extraArgs = [ "--num-cpus=16" ];
    };
    anywhere = {
      enable = true;
      role = "worker";
    };
  };
}
