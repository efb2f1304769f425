# Slurm on one node: a queue for the box's GPUs, for who logs in to it. Four processes:
# <name>-config writes the configuration for the hardware that is there, then munged,
# slurmctld (port 6817) and slurmd (port 6818) start one after the other. <name>-slurmd is
# ready when the node takes jobs.
#
# All run as root, which is who logs in to a box, and without cgroups, which a container
# does not have: Slurm 23.02 or later. The configuration is where nixpkgs' Slurm and MUNGE
# look, so that sinfo, srun and sbatch work in every shell, and one box has one instance.
{ config, lib, name, pkgs, ... }:
let
  inherit (lib) mkOption types;
  ours = import ./lib.nix { inherit lib pkgs; };
  inherit (pkgs) coreutils;
  slurm = program: "${config.package}/bin/${program}";

  configText = pkgs.writeText "slurm.conf" ''
    ClusterName=${name}
    SlurmUser=root
    SlurmctldPort=${toString config.port}
    SlurmdPort=${toString config.nodePort}
    SlurmctldPidFile=/run/slurmctld.pid
    SlurmdPidFile=/run/slurmd.pid
    AuthType=auth/munge
    ProctrackType=proctrack/linuxproc
    TaskPlugin=task/none
    MpiDefault=none
    SelectType=select/cons_tres
    SelectTypeParameters=CR_Core
    GresTypes=gpu
    ReturnToService=2
    ${config.extraConfig}
    PartitionName=${config.partition} Nodes=ALL Default=YES MaxTime=INFINITE State=UP
  '';

  # What the hardware says: the line of the node, as slurmd prints it, and its GPUs.
  write = pkgs.writeText "slurm-config.sh" ''
    set -eu -o pipefail
    state=$PWD
    node=''${HOSTNAME%%.*}
    mkdir -p /etc/slurm "$state/ctld" "$state/d"
    gpus=0 offer=
    : >/etc/slurm/gres.conf
    for device in /dev/nvidia[0-9]*; do
      [ -e "$device" ] || continue
      gpus=$((gpus + 1)) offer=" Gres=gpu:$gpus"
      echo "Name=gpu File=$device" >>/etc/slurm/gres.conf
    done
    echo "CgroupPlugin=disabled" >/etc/slurm/cgroup.conf
    hardware=$(slurmd -C | grep -o -E '(CPUs|Boards|SocketsPerBoard|CoresPerSocket|ThreadsPerCore|RealMemory)=[0-9]+' | tr '\n' ' ')
    hardware=''${hardware% }
    {
      cat "$1"
      echo "SlurmctldHost=$node($2)"
      echo "StateSaveLocation=$state/ctld"
      echo "SlurmdSpoolDir=$state/d"
      echo "NodeName=$node NodeAddr=$2 State=UNKNOWN $hardware$offer"
    } >/etc/slurm/slurm.conf.new
    mv /etc/slurm/slurm.conf.new /etc/slurm/slurm.conf
  '';

  path = lib.makeBinPath [ config.package coreutils pkgs.gnugrep ];

  probe = command: patience: {
    exec = { inherit command; };
    period_seconds = 30;
    timeout_seconds = 10;
    failure_threshold = patience;
  };
  daemon = settings: settings // {
    environment = config.environment;
    liveness_probe = ours.alive 5 settings.readiness_probe;
    availability = ours.restart;
  };
  wait = process: condition: { "${name}-${process}".condition = condition; };
in
{
  options = {
    package = ours.packageOption "slurm" pkgs.slurm;
    munge = ours.packageOption "munge" pkgs.munge;

    host = ours.hostOption // {
      description = ''
        The address by which the daemons and the commands reach each other. The daemons listen on all addresses, and
        obey who has the key of MUNGE.
      '';
    };
    port = ours.portOption 6817 "slurmctld";
    nodePort = ours.portOption 6818 "slurmd";

    partition = mkOption {
      type = types.str;
      default = "main";
      example = "gpu";
      description = "The name of the one queue.";
    };

    mungeKeyFile = mkOption {
      type = types.nullOr types.str;
      default = null;
      example = "/run/secrets/munge.key";
      description = "A file in the box with the key of MUNGE, root's alone to read. null: a new one at each start.";
    };

    extraConfig = mkOption {
      type = types.lines;
      default = "";
      example = "DefMemPerCPU=2048";
      description = "Further lines of slurm.conf.";
    };

    files = mkOption {
      type = types.attrsOf types.path;
      default = { conf = configText; inherit write; };
      internal = true;
      description = "What the processes read.";
    };

    environment = ours.environmentOption { SLURM_DEBUG_FLAGS = "Gres"; };
    extraArgs = ours.argsOption "`slurmd`" [ "-v" ];
  };

  config = {
    # It counts the GPUs once, when it starts.
    after.gpu = lib.mkDefault "process_completed";

    outputs.settings.processes = {
      "${name}-config" = {
        command = "${ours.enter config.dataDir} && PATH=${path} exec ${pkgs.bash}/bin/bash "
          + lib.escapeShellArgs [ "${config.files.write}" "${config.files.conf}" config.host ];
        availability = ours.restart;
      };

      "${name}-munged" = daemon {
        command = lib.concatStringsSep " && " [
          "${coreutils}/bin/install -d -m 0755 /run/munge"
          (if config.mungeKeyFile == null
          then "${coreutils}/bin/rm -f /run/munge/munge.key && ${config.munge}/bin/mungekey --create --keyfile=/run/munge/munge.key"
          else "${coreutils}/bin/install -m 0400 -- ${lib.escapeShellArg config.mungeKeyFile} /run/munge/munge.key")
          # One whose socket a killed one left would not start without --force.
          ("exec ${config.munge}/bin/munged --foreground --force --key-file=/run/munge/munge.key --socket=/run/munge/munge.socket.2 "
            + "--pid-file=/run/munge/munged.pid --seed-file=/run/munge/munged.seed")
        ];
        readiness_probe = probe "${config.munge}/bin/munge -n | ${config.munge}/bin/unmunge >/dev/null" 2;
      };

      "${name}-slurmctld" = daemon {
        command = "exec ${slurm "slurmctld"} -D";
        depends_on = wait "config" "process_completed_successfully" // wait "munged" "process_healthy";
        readiness_probe = probe "${slurm "scontrol"} ping | ${pkgs.gnugrep}/bin/grep -q UP" 4;
        shutdown.timeout_seconds = 20; # it saves its state
      };

      "${name}-slurmd" = daemon {
        command = "exec ${slurm "slurmd"} -D ${lib.escapeShellArgs config.extraArgs}";
        depends_on = wait "slurmctld" "process_healthy";
        readiness_probe = probe "${slurm "sinfo"} -h -N -o %T | ${pkgs.gnugrep}/bin/grep -q -E '^(idle|mixed|allocated|completing)$'" 4;
      };
    };
  };
}
