# Ray: one node of a cluster. The head listens on `port` (6379, where workers and drivers
# join) and shows its dashboard on `dashboardPort` (8265); a worker joins `head`. Either is
# ready when Ray says so in its log: others wait for it with process_log_ready.
#
# Nodes talk to each other on many ports, by the address that each is given. Where one image
# is started on many machines, the container's RAY_NODE_ADDRESS says it in place of `host`,
# and a worker's RAY_HEAD_ADDRESS (address:port) in place of `head`.
{ config, lib, name, pkgs, ... }:
let
  inherit (lib) mkOption types;
  ours = import ./lib.nix { inherit lib pkgs; };
  ray = "${config.package}/bin/ray";
  isHead = config.role == "head";

  # What bash makes of them: a variable of the container, or else the option.
  host = ''"''${RAY_NODE_ADDRESS:-${config.host}}"'';
  head =
    if isHead then "${host}:${toString config.port}"
    else if config.head == null then ''"''${RAY_HEAD_ADDRESS:?set it to the address:port of the head}"''
    else ''"''${RAY_HEAD_ADDRESS:-${config.head}}"'';

  arguments = [ "start" "--block" "--disable-usage-stats" ]
    ++ lib.optionals isHead [ "--head" "--port=${toString config.port}" ]
    ++ lib.optionals isHead [ "--dashboard-host=${config.dashboardHost}" "--dashboard-port=${toString config.dashboardPort}" ]
    ++ lib.optional (config.gpus != null) "--num-gpus=${toString config.gpus}"
    ++ config.extraArgs;
in
{
  options = {
    package = ours.packageOption "python3Packages.ray" pkgs.python3Packages.ray;

    role = mkOption {
      type = types.enum [ "head" "worker" ];
      default = "head";
      example = "worker";
      description = "What the node is. A cluster has one head.";
    };

    head = mkOption {
      type = types.nullOr (types.strMatching "[][A-Za-z0-9.:-]+");
      default = null;
      example = "100.64.0.7:6379";
      description = "Of a worker: the address and port of its head. null: RAY_HEAD_ADDRESS of the container has to say it.";
    };

    host = ours.hostOption // {
      type = types.strMatching "[A-Za-z0-9.:-]+";
      example = "100.64.0.8";
      description = "The node's address, by which the others of the cluster reach it, unless RAY_NODE_ADDRESS says another.";
    };
    port = ours.portOption 6379 "the head, for workers and drivers";

    dashboardHost = ours.hostOption;
    dashboardPort = ours.portOption 8265 "the head's dashboard, and of its jobs' API";

    gpus = mkOption {
      type = types.nullOr types.ints.unsigned;
      default = null;
      example = 8;
      description = "How many GPUs the node offers. null: those that Ray finds.";
    };

    environment = ours.environmentOption { RAY_memory_monitor_refresh_ms = "0"; };
    extraArgs = ours.argsOption "`ray start`" [ "--num-cpus=16" ];
  };

  config = {
    # It counts the GPUs once, when it starts.
    after.gpu = lib.mkDefault "process_completed";

    outputs.settings.processes.${name} = {
      # A worker takes the head's path for this directory, and refuses one of its own.
      command = ours.within config.dataDir (lib.escapeShellArgs ([ ray ] ++ arguments) + " --node-ip-address=${host}"
        + (if isHead then " --temp-dir=\"$PWD\"" else " --address=${head}"));
      # Python keeps what it writes to a pipe, and with it the line that says "ready".
      environment = { PYTHONUNBUFFERED = "1"; } // config.environment;
      ready_log_line = "Ray runtime started";
      liveness_probe = {
        # This starts a Python, which is dear.
        exec.command = "exec ${ray} health-check --address ${head}";
        period_seconds = 60;
        timeout_seconds = 30;
        failure_threshold = 3;
      };
      availability = ours.restart;
      shutdown.timeout_seconds = 30; # it stops its own processes one after the other
    };
  };
}
