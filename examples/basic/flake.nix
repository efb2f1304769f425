# Everything at its default: CUDA's libraries, gcc, Python and uv, a shell that is set up,
# Nix itself, sshd and the tailnet.
#
#   nix build .#basic
#   nix run .#basic.copyToContainerRuntime && nix run .#basic.shell
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
      nix2vast.basic = {
        packages = [ pkgs.ffmpeg ]; # what else is on PATH
        env.HF_HOME = "/workspace/huggingface"; # of sessions and services
        users.root.authorizedKeys = [ "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIExampleExampleExampleExampleExampleExample me@laptop" ];
      };

      # Without CUDA an image is small; the host's driver is usable in it all the same.
      nix2vast.small = {
        cuda.enable = false;
        dev.enable = false;
      };
    };
  };
}
