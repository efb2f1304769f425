{
  inputs = {
    nix2vast.url = "github:fleek-platform/nix2vast";
    nixpkgs.follows = "nix2vast/nixpkgs";
    flake-parts.follows = "nix2vast/flake-parts";
  };

  outputs = inputs: inputs.flake-parts.lib.mkFlake { inherit inputs; } {
    imports = [ inputs.nix2vast.flakeModules.default ];
    systems = [ "x86_64-linux" ];
    perSystem = { pkgs, ... }: {
      nix2vast.sample = {
        packages = [ pkgs.ffmpeg ];

        # CUDA 12.8 with cudart, cublas, cudnn and nccl is there by default; this adds nvcc
        # and the headers. Wheels from PyPI bring their own CUDA, and need neither.
        cuda.toolkit = true;

        # A box without a GPU is degraded, and says why.
        gpu.mode = "require";

        env = {
          HF_HOME = "/workspace/huggingface";
          UV_CACHE_DIR = "/workspace/uv";
        };
      };
    };
  };
}
