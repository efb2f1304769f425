# Services, in the four ways that there are: nix2vast's own, those of services-flake, a
# process with a command, and a modular service of nixpkgs.
{
  inputs = {
    nix2vast.url = "github:fleek-platform/nix2vast";
    nixpkgs.follows = "nix2vast/nixpkgs";
    flake-parts.follows = "nix2vast/flake-parts";
    services-flake.url = "github:juspay/services-flake"; # where it is an input, its services are options
  };

  outputs = inputs: inputs.flake-parts.lib.mkFlake { inherit inputs; } {
    imports = [ inputs.nix2vast.flakeModules.default ];
    systems = [ "x86_64-linux" ];

    perSystem = { pkgs, lib, ... }: {
      nix2vast.services = {
        # Ours: it waits until the driver was tried, and then pulls its models.
        services.ollama.chat = {
          enable = true;
          models = [ "llama3.2" ];
        };

        # services-flake's. Data is in ./data of the workspace.
        services.redis.cache.enable = true;
        services.open-webui.page = {
          enable = true;
          environment.OLLAMA_API_BASE_URL = "http://127.0.0.1:11434";
        };

        # A process, with the keys of process-compose.
        processes.api = {
          command = "exec ${lib.getExe pkgs.python3} -m http.server 8000 --bind 127.0.0.1";
          environment.REDIS_URL = "redis://127.0.0.1:6379";
          depends_on = {
            cache.condition = "process_healthy";
            chat.condition = "process_healthy";
          };
          readiness_probe.http_get = { host = "127.0.0.1"; port = 8000; };
          availability.restart = "always";
        };

        # A modular service: modules of nixpkgs are imported, as NixOS does.
        system.services.clock = { config, ... }: {
          process.argv = [ "${pkgs.coreutils}/bin/tail" "-f" config.configData.greeting.path ];
          configData.greeting.text = "hello\n";
          nix2vast.After = [ "gpu" ];
        };
      };
    };
  };
}
