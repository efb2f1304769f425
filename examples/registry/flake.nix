# Pushing: where to, under which tags, and how compressed.
#
#   GITHUB_TOKEN=… nix run .#registry.copyToGithub
#   nix run .#registry.copyToRegistry
{
  inputs = {
    nix2vast.url = "github:fleek-platform/nix2vast";
    nixpkgs.follows = "nix2vast/nixpkgs";
    flake-parts.follows = "nix2vast/flake-parts";
  };

  outputs = inputs: inputs.flake-parts.lib.mkFlake { inherit inputs; } {
    imports = [ inputs.nix2vast.flakeModules.default ];
    systems = [ "x86_64-linux" ];

    perSystem = { ... }: {
      nix2vast.registry = {
        name = "trainer"; # ghcr.io/owner/trainer
        registries = [ "ghcr.io/owner" "registry.example.org:5000/team" ];

        # Without this the tag is the time of the last commit, as 20250914-142437.
        tag = "v1.2";
        extraTags = [ "cuda-12.8-v1.2" ];

        # gzip for every host; zstd besides, under tags of its own, for hosts that can read it.
        image.compression = "both";
        image.source = "https://github.com/owner/trainer";
        labels."org.opencontainers.image.licenses" = "MIT";
      };
    };
  };
}
