# A home for root: single files, or all that home-manager makes of a configuration.
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
      nix2vast.custom-home = {
        packages = [ pkgs.neovim ];

        home.files = {
          ".config/git/config".text = ''
            [user]
              name = Ada
              email = ada@example.org
          '';
          ".tmux.conf".source = ./tmux.conf;
          ".ssh/config" = {
            text = "Host *\n  ServerAliveInterval 30\n";
            mode = "0600";
          };
        };

        # With home-manager as an input, what it calls activationPackage:
        #   home.activation = (inputs.home-manager.lib.homeManagerConfiguration {
        #     inherit pkgs;
        #     modules = [{ home = { username = "root"; homeDirectory = "/root"; stateVersion = "25.11"; }; }];
        #   }).activationPackage;

        # Lines for bash, each time the box boots, and when the driver answers.
        hooks.boot = "mkdir -p /workspace/notes";
        hooks.gpu = "nvidia-smi --query-gpu=name --format=csv,noheader >/workspace/notes/gpus";
      };
    };
  };
}
