# Training with PyTorch's own wheels: uv installs them into the workspace when the box first
# starts, so that the image stays small and the wheels outlive a stop. They bring their CUDA
# along and need only the host's driver.
{
  inputs = {
    nix2vast.url = "github:fleek-platform/nix2vast";
    nixpkgs.follows = "nix2vast/nixpkgs";
    flake-parts.follows = "nix2vast/flake-parts";
  };

  outputs = inputs: inputs.flake-parts.lib.mkFlake { inherit inputs; } {
    imports = [ inputs.nix2vast.flakeModules.default ];
    systems = [ "x86_64-linux" ];

    perSystem = { pkgs, lib, ... }: {
      nix2vast.cuda-training = {
        cuda.toolkit = true; # nvcc and headers, for extensions that are compiled in the box
        gpu.requires = "cuda>=12.8"; # a host with an older driver refuses, rather than fails later
        gpu.mode = "require"; # without a GPU the box says that it is degraded

        env = {
          UV_CACHE_DIR = "/workspace/.cache/uv";
          UV_LINK_MODE = "copy"; # the cache and the environment may be on different file systems
          VIRTUAL_ENV = "/workspace/venv";
        };

        processes.venv = {
          command = ''
            set -e
            ${lib.getExe pkgs.uv} venv --allow-existing --python ${lib.getExe pkgs.python3} "$VIRTUAL_ENV"
            ${lib.getExe pkgs.uv} pip install torch --index-url https://download.pytorch.org/whl/cu128
          '';
          availability = { restart = "on_failure"; backoff_seconds = 10; };
        };

        # Started by hand, when the environment is there and the driver answers: init start train
        processes.train = {
          command = ''exec "$VIRTUAL_ENV/bin/python" /opt/train.py'';
          disabled = true;
          depends_on = {
            venv.condition = "process_completed_successfully";
            gpu.condition = "process_completed_successfully";
          };
        };

        files."/opt/train.py".source = ./train.py;
      };
    };
  };
}
