# JupyterLab (port 8888), with the workspace as its root. Ready when its API answers, for
# which no token is needed. Without `tokenFile` and without JUPYTER_TOKEN in the box's
# environment it makes a token of its own at each start and writes it to its log.
{ config, lib, name, pkgs, ... }:
let
  inherit (lib) mkOption types;
  ours = import ./lib.nix { inherit lib pkgs; };
  probe = ours.answers { inherit (config) host port; path = "/api"; };
  mkdir = "${pkgs.coreutils}/bin/mkdir -p --";
  data = lib.escapeShellArg config.dataDir;
  arguments = [
    "${config.package}/bin/jupyter-lab"
    "--no-browser"
    "--allow-root"
    "--ip=${config.host}"
    "--port=${toString config.port}"
    "--ServerApp.port_retries=0" # another port would be one that nobody knows
  ];
in
{
  options = {
    package = ours.packageOption "python3Packages.jupyterlab" pkgs.python3Packages.jupyterlab;
    host = ours.hostOption;
    port = ours.portOption 8888 "the page";

    root = mkOption {
      type = types.str;
      default = ".";
      example = "/root";
      description = "The directory that the page shows; a relative path is below the workspace.";
    };

    kernels = mkOption {
      type = types.listOf types.package;
      default = [ ];
      example = lib.literalExpression "[ (pkgs.python3.withPackages (p: [ p.ipykernel p.numpy ])) ]";
      description = "Packages that have kernels below share/jupyter, beside the Python of `package`.";
    };

    tokenFile = mkOption {
      type = types.nullOr types.str;
      default = null;
      example = "/run/secrets/jupyter-token";
      description = "A file in the box with the token that a browser must give.";
    };

    environment = ours.environmentOption { OMP_NUM_THREADS = "8"; };
    extraArgs = ours.argsOption "`jupyter-lab`" [ "--ServerApp.base_url=/lab" ];
  };

  config = {
    # Kernels come later than this; whoever opens one at once finds the driver in place.
    after.gpu = lib.mkDefault "process_completed";

    outputs.settings.processes.${name} = {
      command = ours.secret "JUPYTER_TOKEN" config.tokenFile
        + ''${mkdir} ${data} && JUPYTER_DATA_DIR="$(cd -- ${data} && pwd)" && export JUPYTER_DATA_DIR && ''
        + ours.within config.root (lib.escapeShellArgs (arguments ++ config.extraArgs));
      environment = lib.optionalAttrs (config.kernels != [ ])
        {
          JUPYTER_PATH = lib.makeSearchPath "share/jupyter" config.kernels;
        } // config.environment;
      readiness_probe = probe;
      liveness_probe = ours.alive 12 probe;
      availability = ours.restart;
    };
  };
}
