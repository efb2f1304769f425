# The plan of a container image: one JSON file that says what is in it and how it is
# started. `nix2vast image` loads, pushes and runs an image, given its plan; the bytes stay
# in the Nix store until then. The same inputs give the same image.
#
# `pkgs` is nixpkgs, or a set with the same names (see ../dev/debs.nix). Both builders are
# nix2vast itself: no shell runs.
{ pkgs
, init # the program that becomes PID 1: one static file
, nix2vast # the program that builds: a path in the store
, name ? "nix2vast"
, tag ? "latest"
, tags ? [ ] # further ones
, registries ? [ ] # where a push goes: "ghcr.io/owner"
, packages ? import ./packages.nix pkgs # what every image of its author has; their programs are on PATH
, foreignLibraries ? [ pkgs.stdenv.cc.cc.lib pkgs.zlib ] # what programs that Nix did not build may link to
, nix ? pkgs.nix # the Nix of the box, with a database of what is in the image; null: none
, nixSettings ? { } # of its nix.conf
, ssh ? true # whether boxes have an SSH server
, rootPassword ? "" # its hash, see crypt(5)
, environment ? { } # of sessions and services, see Config.Environment
, tailscale ? { } # enable = true: boxes join a tailnet, see Config.Tailscale
, services ? { } # see Config.Services
, processCompose ? { } # see Config.ProcessCompose
, modularServices ? { } # see Config.ModularServices
, env ? { } # of the container
, exposedPorts ? [ "22/tcp" ]
, workingDir ? "/root"
, user ? "" # "" is root
, stopSignal ? "SIGTERM"
, healthcheck ? import ./healthcheck.nix { }
, labels ? { } # beside those that a plan makes of name, tag, revision and source
, revision ? "" # of the author's source
, source ? "" # its address
, created ? "1970-01-01T00:00:01Z" # no reading of a clock: the same inputs are the same image
, annotations ? { } # of the manifest
, files ? { } # files to add: path = { text, source, mode, uid, gid }
, directories ? { } # path = { mode, uid, gid }
, links ? { } # symbolic links to add: path = target
, groups ? [ ] # what changes together, from what changes least on: { name, packages, foreign, roots }; packages are
  # on PATH, before those of groups in front; foreign are further foreignLibraries; roots are just there
, layers ? { } # limits: max (a number), own, part (bytes)
}:
let
  inherit (builtins) attrNames concatMap foldl' listToAttrs map;
  platform = pkgs.stdenv.hostPlatform;
  build = attrs: derivation ({
    system = pkgs.stdenv.buildPlatform.system or platform.system;
    builder = nix2vast;
    __structuredAttrs = true;
  } // attrs);
  libraries = package: package.lib or package.out or package; # the output that has them
  given = if nix == null then [ ] else [ nix ];
  every = attribute: concatMap (group: group.${attribute} or [ ]);

  # In a rented container nothing can be mounted, no user switched to that builds, and no
  # system call filtered.
  nixConfig = {
    build-users-group = "";
    experimental-features = [ "nix-command" "flakes" ];
    filter-syscalls = false;
    sandbox = false;
  } // nixSettings;

  config = import ./config.nix {
    loader = pkgs.stdenv.cc.bintools.dynamicLinker;
    ldconfig = "${pkgs.glibc.bin}/bin/ldconfig";
    nixStore = if nix == null then "" else "${nix}/bin/nix-store";
    noSSH = !ssh;
    rootPassword = rootPassword != "";
    inherit tailscale environment services processCompose modularServices;
  };

  # See Options in rootfs/rootfs.go.
  rootfs = build {
    name = "${name}-rootfs";
    args = [ "image" "rootfs" ];
    outputs = [ "out" "modes" "owners" ];
    rootfs = {
      architecture = platform.go.GOARCH;
      packages = every "packages" (foldl' (list: group: [ group ] ++ list) [ ] groups) ++ packages ++ given;
      foreign = map libraries (foreignLibraries ++ every "foreign" groups);
      certificates = pkgs.cacert;
      locale = pkgs.glibc;
      terminfo = pkgs.ncurses;
      ssh = if ssh then pkgs.openssh else "";
      inherit config files directories links rootPassword;
    } // (if nix == null then { } else { nix = nixConfig; });
  };

  # CUDA_VERSION is missing on purpose: NVIDIA's legacy runtime takes it for a
  # requirement on the driver and refuses to start the container.
  defaults = {
    LANG = "C.UTF-8";
    NVIDIA_DRIVER_CAPABILITIES = "compute,utility";
    NVIDIA_VISIBLE_DEVICES = "all";
    PATH = "/run/nix2vast/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    SSL_CERT_FILE = "/etc/ssl/certs/ca-certificates.crt";
    TERMINFO_DIRS = "/usr/share/terminfo";
  };
  # Nix is apart from what every image needs: it has half of the bytes, and not all want it.
  everyGroup = [{
    name = "base";
    roots = packages ++ map libraries foreignLibraries ++ (with pkgs; [ cacert glibc ncurses ] ++ (if ssh then [ openssh ] else [ ]));
  }]
    ++ map (p: { name = "nix"; roots = [ p ]; }) given
    ++ map
    (g: {
      inherit (g) name;
      roots = g.roots or [ ] ++ g.packages or [ ] ++ map libraries (g.foreign or [ ]);
    })
    groups;
in
build {
  name = "${name}-image.json";
  args = [ "image" "plan" ];
  exportReferencesGraph.graph = [ rootfs.out init ] ++ concatMap (group: group.roots) everyGroup;
  image = {
    inherit name tag tags registries annotations layers revision source created;
    architecture = platform.go.GOARCH;
    config = {
      Entrypoint = [ "/init" ];
      Env = map (key: "${key}=${(defaults // env).${key}}") (attrNames (defaults // env));
      ExposedPorts = listToAttrs (map (port: { name = port; value = { }; }) exposedPorts);
      Healthcheck = healthcheck;
      Labels = labels;
      StopSignal = stopSignal;
      User = user;
      WorkingDir = workingDir;
    };
    groups = everyGroup;
    rootfs = rootfs.out;
    inherit (rootfs) modes owners;
    files = [{ path = init; target = "/init"; mode = "0755"; }];
    database = nix != null;
  };
} // { inherit rootfs config; }
