# See testdata/modular.json.
{ pkgs, ... }:
{
  system.services = {
    web = { config, ... }: {
      _class = "service";
      process.argv = [ "${pkgs.nginx}/bin/nginx" "-c" config.configData."nginx.conf".path "two words" "$HOME" ];
      configData = {
        "nginx.conf".text = "events { }\n";
        "mime.types".source = pkgs.writeText "mime.types" "";
        absent = { enable = false; text = "x"; };
      };
      systemd.service = {
        after = [ "network.target" "db.service" ];
        serviceConfig = { User = "nobody"; ProtectSystem = "strict"; };
      };
      nix2vast = { After = [ "gpu" ]; Probe.TCP = "127.0.0.1:8080"; StateDirectory = [ "web" ]; };
      warnings = [ "the outer warning" ];

      services.worker = { config, ... }: {
        process.argv = [ "${pkgs.coreutils}/bin/sleep" config.configData.queue.path ];
        configData.queue.text = "q\n";
        nix2vast.Requires = [ "web" ];
        assertions = [{ assertion = false; message = "the inner assertion"; }];
      };
    };

    db = { config, ... }: {
      process.argv = [ "/bin/db" "100%" ];
      systemd.mainExecStart = config.systemd.lib.escapeSystemdExecArgs config.process.argv + " %n";
      systemd.service = { lib, ... }: { path = [ pkgs.coreutils ]; environment.A = lib.mkForce "1"; };
      systemd.services.setup.script = "echo";
      nix2vast.Restart = "on-failure";
    };
  };
}
