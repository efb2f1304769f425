# An image's config with every field in use: what Nix makes of it is basic.json.
import ../config.nix {
  loader = "/nix/store/00000000000000000000000000000000-glibc-2.40/lib/ld-linux-x86-64.so.2";
  ldconfig = "/nix/store/00000000000000000000000000000000-glibc-2.40-bin/bin/ldconfig";
  nixStore = "/nix/store/00000000000000000000000000000000-nix-2.31/bin/nix-store";
  noSSH = true;
  rootPassword = true;
  tailscale.enable = true;
  environment = {
    GREETING = "two\nlines, \"quotes\", $dollars and \\";
    WORKSPACE = "/workspace";
  };
  services.web = {
    ExecStart = [ "/bin/sh" "-c" "exec sleep infinity" ];
  };
  processCompose = "/etc/process-compose.yaml";
  modularServices.cache.process.argv = [ "/bin/cache" ];
}
