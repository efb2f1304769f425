{
  inputs = {
    nix2vast.url = "github:fleek-platform/nix2vast";
    nixpkgs.follows = "nix2vast/nixpkgs";
    flake-parts.follows = "nix2vast/flake-parts";
  };

  outputs = inputs: inputs.flake-parts.lib.mkFlake { inherit inputs; } {
    imports = [ inputs.nix2vast.flakeModules.default ];
    systems = [ "x86_64-linux" "aarch64-linux" ];
    perSystem = { pkgs, ... }: {
      nix2vast.sample = {
        packages = [ pkgs.python3 ];
        cuda.enable = false;
        exposedPorts = [ "22/tcp" "8080/tcp" ];

        # Started when the box boots, again when it ends, and ready when it answers. In the
        # box: init status, init logs -f files, init restart files.
        processes.files = {
          command = "exec python3 -m http.server 8080 --directory /workspace";
          availability.restart = "always";
          readiness_probe.http_get = { host = "127.0.0.1"; port = 8080; path = "/"; };
        };
      };
    };
  };
}
