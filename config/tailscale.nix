{ config, lib, ... }:
let
  cfg = config.tailscale;
  key = if cfg.authKeyFile == null then "" else toString cfg.authKeyFile;
  flag = name: value: lib.mkIf (value != null) { ${name} = lib.boolToString value; };
  text = name: value: lib.mkIf (value != null) { ${name} = value; };
  list = name: value: lib.mkIf (value != [ ]) { ${name} = lib.concatStringsSep "," value; };
  say = example: description: lib.mkOption {
    type = lib.types.nullOr lib.types.bool;
    default = null;
    inherit example description;
  };
  word = type: example: description: lib.mkOption {
    type = lib.types.nullOr type;
    default = null;
    inherit example description;
  };
  file = "/etc/nix2vast/serve.json";
  domain = "\${TS_CERT_DOMAIN}"; # for init, which learns the name when the box has joined
  number = port: builtins.match "[1-9][0-9]{0,4}" port != null && lib.toInt port <= 65535;
  served = lib.types.submodule ({ name, config, ... }: {
    options = {
      proxy = word (lib.types.strMatching "https?([+]insecure)?://.+") "http://127.0.0.1:8080"
        "The server of the box to which requests go. https+insecure takes any certificate of that server.";
      tcp = word (lib.types.strMatching "[^:/ ]+:[0-9]+|[[][0-9a-fA-F:]+[]]:[0-9]+") "127.0.0.1:5432"
        "Where connections go as they are, in the place of proxy.";
      https = lib.mkOption {
        type = lib.types.bool;
        default = config.proxy != null && name == "443";
        defaultText = lib.literalExpression ''"443" with a proxy'';
        example = true;
        description = ''
          Whether peers speak HTTPS with the proxy, by a certificate that Tailscale gets for the box's name. The tailnet has
          to have HTTPS enabled.
        '';
      };
      tls = lib.mkOption {
        type = lib.types.bool;
        default = false;
        example = true;
        description = "Whether peers speak TLS with tcp, by the same certificate; the box's own server hears what is in it.";
      };
    };
  });
  serveConfig = {
    TCP = lib.mapAttrs
      (_: s:
        if s.proxy != null then { ${if s.https then "HTTPS" else "HTTP"} = true; }
        else { TCPForward = s.tcp; } // lib.optionalAttrs s.tls { TerminateTLS = domain; })
      cfg.serve;
    Web = lib.mapAttrs' (port: s: lib.nameValuePair "${domain}:${port}" { Handlers."/".Proxy = s.proxy; })
      (lib.filterAttrs (_: s: s.proxy != null) cfg.serve);
  };
in
{
  options.tailscale = {
    enable = lib.mkOption {
      type = lib.types.bool;
      default = false;
      example = true;
      description = ''
        Whether boxes join a tailnet in any case: without a key, init shows a URL to log in by. Where this is false they
        join if they are started with a key, such as TAILSCALE_AUTHKEY.
      '';
    };
    mode = lib.mkOption {
      type = lib.types.enum [ "auto" "require" "off" ];
      default = "auto";
      example = "require";
      description = "require: a box outside its tailnet is degraded. off: it joins none, whatever it is started with.";
    };
    authKeyFile = word (lib.types.either lib.types.path lib.types.str) "/run/secrets/tailscale"
      "The file in the box that holds the key. The image has its name alone; a box that has one joins.";
    hostname = word (lib.types.strMatching "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?") "trainer"
      "What boxes are called in the tailnet, which numbers them. A box of an image with this option joins a tailnet.";
    tags = lib.mkOption {
      type = lib.types.listOf (lib.types.strMatching "tag:[a-z][a-z0-9-]*");
      default = [ ];
      example = [ "tag:gpu" ];
      description = "Tags of the boxes in the tailnet, which their key has to permit.";
    };
    ephemeral = say true "Whether a box is forgotten when it stops.";
    ssh = say true "Whether Tailscale's own SSH answers peers at port 22, by the rules of the tailnet.";
    acceptDns = say false "Whether names of the tailnet are resolved in the box.";
    controlUrl = word (lib.types.strMatching "https?://.+") "https://headscale.example.org"
      "Another control server than Tailscale's. A box of an image with this option joins a tailnet.";
    expose = lib.mkOption {
      type = lib.types.listOf (lib.types.either lib.types.port (lib.types.strMatching "all|none|loopback|[0-9]+-[0-9]+"));
      default = [ ];
      example = [ 22 "8000-9000" ];
      description = ''
        Which ports peers reach where the box has no network device for the tailnet: none named is all that listens.
        loopback adds what listens on 127.0.0.1 only.
      '';
    };
    serve = lib.mkOption {
      type = lib.types.attrsOf served;
      default = { };
      example = { "443".proxy = "http://127.0.0.1:8080"; "5432".tcp = "127.0.0.1:5432"; };
      description = ''
        What peers are served at a port of the box's name, as by the command tailscale serve, with a network device and
        without: by HTTP or HTTPS with a proxy, or by TCP. It goes before what else has the port, and what expose leaves out.
      '';
    };
  };

  config = {
    arguments = {
      tailscale = lib.mkIf cfg.enable { enable = true; };
      # As where a container is started: what is set there wins.
      env = lib.mkMerge [
        (lib.mkIf (cfg.mode != "auto") { NIX2VAST_TAILNET = cfg.mode; })
        (lib.mkIf (key != "") { TAILSCALE_AUTHKEY_FILE = key; })
        (text "TS_HOSTNAME" cfg.hostname)
        (list "TS_TAGS" cfg.tags)
        (flag "TS_EPHEMERAL" cfg.ephemeral)
        (flag "TS_SSH" cfg.ssh)
        (flag "TS_ACCEPT_DNS" cfg.acceptDns)
        (text "TS_CONTROL_URL" cfg.controlUrl)
        (list "TS_EXPOSE" (map toString cfg.expose))
        (lib.mkIf (cfg.serve != { }) { TS_SERVE_CONFIG = file; })
      ];
      files = lib.mkIf (cfg.serve != { }) { ${file}.text = builtins.toJSON serveConfig + "\n"; };
    };
    assertions = [
      {
        assertion = !(builtins.isPath cfg.authKeyFile || lib.hasPrefix builtins.storeDir key);
        message = "tailscale.authKeyFile: this file would be copied to the Nix store and to the image, for all to read. Give "
          + "the place where the box has it, as text, such as \"/run/secrets/tailscale\", and mount or copy it there.";
      }
      {
        assertion = key == "" || lib.hasPrefix "/" key || lib.hasPrefix builtins.storeDir key;
        message = "tailscale.authKeyFile: this is no absolute path. If it is a key, it is in the Nix store by now: take it out, "
          + "revoke it, and set TAILSCALE_AUTHKEY where the container is started.";
      }
      {
        assertion = !(cfg.enable && cfg.mode == "off");
        message = "tailscale.mode: \"off\" forbids what tailscale.enable asks for. Remove one of the two.";
      }
    ]
    ++ lib.mapAttrsToList
      (port: _: {
        assertion = number port;
        message = "tailscale.serve.\"${port}\": this is no port. Name one of 1 to 65535, such as tailscale.serve.\"443\".";
      })
      cfg.serve
    ++ lib.mapAttrsToList
      (port: s: {
        assertion = (s.proxy == null) != (s.tcp == null);
        message = "tailscale.serve.\"${port}\": it needs a proxy or a tcp, and not both.";
      })
      cfg.serve
    ++ lib.mapAttrsToList
      (port: s: {
        assertion = s.tcp == null || number (lib.last (lib.splitString ":" s.tcp));
        message = "tailscale.serve.\"${port}\".tcp: \"${toString s.tcp}\" ends in no port, as 127.0.0.1:5432 does.";
      })
      cfg.serve
    ++ lib.mapAttrsToList
      (port: s: {
        assertion = !(s.https && s.proxy == null) && !(s.tls && s.tcp == null);
        message = "tailscale.serve.\"${port}\": https belongs to a proxy, tls to a tcp. Set the other one.";
      })
      cfg.serve;
  };
}
