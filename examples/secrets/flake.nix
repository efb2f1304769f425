# Secrets. Whoever has an image can read all of it, and a Nix store is read by everybody on
# the machine. So an image says where a secret will be, and the box gets it when it is
# started: from the host's form (docker run -e …), as a mounted file, or by scp.
#
#   docker run -e TAILSCALE_AUTHKEY=tskey-… -v ~/secrets:/run/secrets:ro IMAGE
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
      nix2vast.secrets = {
        # Names of files are no secrets. init reads them at boot, and passes none of it on.
        env.ROOT_PASSWORD_FILE = "/run/secrets/root-password";

        # A service reads its files when it starts. Without one it fails, says which it lacks,
        # and is tried again: copy the file, and it goes on.
        services.vllm.model = {
          enable = true;
          model = "meta-llama/Llama-3.2-1B-Instruct";
          tokenFile = "/run/secrets/hf-token";
          apiKeyFile = "/run/secrets/vllm-key";
        };
        services.jupyter.lab = {
          enable = true;
          tokenFile = "/run/secrets/jupyter-token";
        };

        # Where a process of your own needs one, it is told the file. This one is started by
        # hand: init start upload
        processes.upload = {
          command = "exec ${lib.getExe pkgs.rclone} --config /run/secrets/rclone.conf copy /workspace/out remote:out";
          disabled = true;
        };
      };
    };
  };
}
