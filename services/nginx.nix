# nginx (port 8080), in the foreground and with everything that it writes below dataDir.
# Ready when it takes connections: what it answers to / is the configuration's business.
{ config, lib, name, pkgs, ... }:
let
  inherit (lib) mkOption types;
  ours = import ./lib.nix { inherit lib pkgs; };
  address = if lib.hasInfix ":" config.host then "[${config.host}]" else config.host;
  # bash asks, so that no other program has to be in the image.
  probe = {
    exec.command = "exec 3<>/dev/tcp/${ours.reach config.host}/${toString config.port}";
    period_seconds = 10;
    timeout_seconds = 3;
    failure_threshold = 6;
  };
in
{
  options = {
    package = ours.packageOption "nginx" pkgs.nginx;
    host = ours.hostOption;
    port = ours.portOption 8080 "the server";

    serverConfig = mkOption {
      type = types.lines;
      default = "";
      example = "location / { proxy_pass http://127.0.0.1:8188; proxy_set_header Upgrade $http_upgrade; }";
      description = "What the server on `host` and `port` does.";
    };

    httpConfig = mkOption {
      type = types.lines;
      default = "";
      example = "server { listen 127.0.0.1:8081; }";
      description = "Further text of the block `http`.";
    };

    eventsConfig = mkOption {
      type = types.lines;
      default = "";
      example = "worker_connections 4096;";
      description = "Text of the block `events`.";
    };

    defaultMimeTypes = mkOption {
      type = types.path;
      default = "${pkgs.mailcap}/etc/nginx/mime.types";
      defaultText = lib.literalExpression ''"''${pkgs.mailcap}/etc/nginx/mime.types"'';
      example = lib.literalExpression ''"''${pkgs.nginx}/conf/mime.types"'';
      description = "The types of files, by their endings.";
    };

    configFile = mkOption {
      type = types.path;
      default = pkgs.writeText "nginx.conf" ''
        user nobody nogroup;
        daemon off;
        pid nginx.pid;
        error_log stderr notice;
        events {
          ${config.eventsConfig}
        }
        http {
          include ${config.defaultMimeTypes};
          access_log off;
          client_body_temp_path body;
          proxy_temp_path proxy;
          fastcgi_temp_path fastcgi;
          uwsgi_temp_path uwsgi;
          scgi_temp_path scgi;
          server {
            listen ${address}:${toString config.port};
            ${config.serverConfig}
          }
          ${config.httpConfig}
        }
      '';
      defaultText = lib.literalMD "made of the other options";
      example = lib.literalExpression "./nginx.conf";
      description = "The whole configuration, in place of what the other options make. Paths in it begin at dataDir.";
    };

    environment = ours.environmentOption { TZ = "UTC"; };
    extraArgs = ours.argsOption "`nginx`" [ "-g" "worker_processes 4;" ];
  };

  config.outputs.settings.processes.${name} = {
    command = ''${ours.enter config.dataDir} && exec ${config.package}/bin/nginx -p "$PWD" -e stderr ''
      + lib.escapeShellArgs ([ "-c" "${config.configFile}" ] ++ config.extraArgs);
    environment = config.environment;
    readiness_probe = probe;
    liveness_probe = ours.alive 5 probe;
    availability = ours.restart;
    shutdown.signal = 3; # SIGQUIT: it answers what it has begun
  };
}
