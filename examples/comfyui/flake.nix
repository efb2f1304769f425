# ComfyUI with a model in the image, and nginx in front of it that asks for a password.
#
# What is in the image needs no download on each rented machine, and a layer of its own
# (image.groups) is pulled once. What people add is in the workspace.
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
        model = pkgs.fetchurl {
          url = "https://huggingface.co/stabilityai/sd-turbo/resolve/main/sd_turbo.safetensors";
          hash = pkgs.lib.fakeHash; # Nix says which one to put here
        };
      in
      {
        nix2vast.comfyui = {
          gpu.mode = "require";

          services.comfyui.studio = {
            enable = true;
            models."checkpoints/sd_turbo.safetensors" = model;
          };
          image.groups = [{ name = "models"; roots = [ model ]; }];

          # The file has lines of htpasswd(1), and is no part of the image: copy it to the box.
          services.nginx.web = {
            enable = true;
            host = "0.0.0.0";
            serverConfig = ''
              auth_basic "ComfyUI";
              auth_basic_user_file /workspace/htpasswd;
              client_max_body_size 0;
              location / {
                proxy_pass http://127.0.0.1:8188;
                proxy_http_version 1.1;
                proxy_set_header Upgrade $http_upgrade;
                proxy_set_header Connection "upgrade";
                proxy_read_timeout 1d;
              }
            '';
          };
          exposedPorts = [ "22/tcp" "8080/tcp" ];
        };
      };
  };
}
