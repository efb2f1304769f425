# A fleet: images that share almost all layers, one for each part. Which machine a box is,
# its host tells it when it is started:
#
#   head:    docker run -e TAILSCALE_AUTHKEY=… -e TS_HOSTNAME=head -e RAY_NODE_ADDRESS=10.0.0.1 …/fleet-head
#   workers: docker run -e TAILSCALE_AUTHKEY=… -e RAY_NODE_ADDRESS=10.0.0.2 -e RAY_HEAD_ADDRESS=10.0.0.1:6379 …/fleet-worker
{
  inputs = {
    nix2vast.url = "github:fleek-platform/nix2vast";
    nixpkgs.follows = "nix2vast/nixpkgs";
    flake-parts.follows = "nix2vast/flake-parts";
  };

  outputs = inputs: inputs.flake-parts.lib.mkFlake { inherit inputs; } {
    imports = [ inputs.nix2vast.flakeModules.default ];
    systems = [ "x86_64-linux" ];

    perSystem = { pkgs, ... }:
      let
        # What all boxes have. A module, as in NixOS.
        common = {
          registries = [ "ghcr.io/owner" ];
          packages = [ pkgs.ripgrep ];
          tailscale = { mode = "require"; tags = [ "tag:gpu" ]; ephemeral = true; }; # the key comes with the start
          supervisor.metrics = ":9400"; # for Prometheus, of services and GPUs
          supervisor.log = "json";
          env.HF_HOME = "/workspace/huggingface";
        };
      in
      {
        nix2vast.fleet-head = {
          imports = [ common ];
          cuda.enable = false; # it only schedules
          services.ray.head = {
            enable = true;
            gpus = 0;
          };
        };

        nix2vast.fleet-worker = {
          imports = [ common ];
          gpu.mode = "require";
          services.ray.worker = {
            enable = true;
            role = "worker";
            after.gpu = "process_completed_successfully";
          };
        };
      };
  };
}
