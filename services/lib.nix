# What several of our services need.
{ lib, pkgs }:
let
  mkdir = "${pkgs.coreutils}/bin/mkdir";
in
rec {
  # A line for bash that becomes `command` in `dir`, which it makes.
  within = dir: command: "${enter dir} && exec ${command}";
  enter = dir: "${mkdir} -p -- ${lib.escapeShellArg dir} && cd -- ${lib.escapeShellArg dir}";

  # An assignment of a secret, which stays out of the Nix store and of the arguments: the
  # file is read when the service starts. It stands before `exec`.
  secret = variable: file:
    lib.optionalString (file != null) ''${variable}="$(< ${lib.escapeShellArg file})" && export ${variable} && '';

  # Where to ask what listens on `host`.
  reach = host: if host == "0.0.0.0" || host == "::" || host == "" then "127.0.0.1" else host;

  # A readiness probe by HTTP. Until its first answer the service has `patience` seconds.
  answers = { host, port, path ? "/", patience ? 120 }: {
    http_get = { host = reach host; inherit port path; };
    period_seconds = 10;
    timeout_seconds = 5;
    failure_threshold = patience / 10;
  };

  # What a service that is ready must go on answering: so many misses in a row restart it.
  # Programs that move gigabytes to a GPU are away for a while and well.
  alive = misses: probe: probe // { failure_threshold = misses; };

  restart = { restart = "on_failure"; backoff_seconds = 2; };

  hostOption = lib.mkOption {
    type = lib.types.str;
    default = "127.0.0.1";
    example = "0.0.0.0";
    description = ''
      The address to listen on. With the default only the box itself and what is tunnelled to it (ssh -L, the
      tailnet) reach the service; most hosts show everything that listens on 0.0.0.0 to the internet.
    '';
  };

  portOption = default: what: lib.mkOption {
    type = lib.types.port;
    inherit default;
    example = default + 1;
    description = "The TCP port of ${what}.";
  };

  argsOption = program: example: lib.mkOption {
    type = lib.types.listOf lib.types.str;
    default = [ ];
    inherit example;
    description = "Further arguments of ${program}, each as it is: no shell reads them.";
  };

  environmentOption = example: lib.mkOption {
    type = lib.types.attrsOf lib.types.str;
    default = { };
    inherit example;
    description = "Variables of the processes. No secrets: they would be in the Nix store.";
  };

  packageOption = name: default: lib.mkOption {
    type = lib.types.package;
    inherit default;
    defaultText = lib.literalExpression "pkgs.${name}";
    example = lib.literalExpression "pkgs.${name}";
    description = "The package to run.";
  };
}
