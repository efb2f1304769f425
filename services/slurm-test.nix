# See testdata/slurm.json and slurm.*.
{
  services.slurm.queue = {
    enable = true;
    partition = "gpu";
    extraConfig = "DefMemPerCPU=2048";
  };
}
