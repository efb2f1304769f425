# A container image, as the archive that `docker load` and `podman load` take.
#
# Three layers, from what changes least to what changes most: the closure of the
# packages, the root file system with the config, and the init. The same inputs
# give the same bytes.
#
# `pkgs` is nixpkgs, or a set with the same names (see ../dev/debs.nix).
{ pkgs
, init # the program that becomes PID 1: one static file
, name ? "nix2vast"
, tag ? "latest"
, packages ? import ./packages.nix pkgs # their programs are on PATH
, foreignLibraries ? [ ] # what programs that Nix did not build may link to
, environment ? { } # of sessions and services, see Config.Environment
, services ? { } # see Config.Services
, env ? { } # of the container
, labels ? { }
, links ? { } # symbolic links to add: path = target
}:
let
  inherit (builtins) attrNames concatStringsSep genList head map toJSON;
  epoch = "1970-01-01T00:00:01Z";

  config = pkgs.runCommand "config.json"
    {
      json = toJSON (import ./config.nix {
        loader = pkgs.stdenv.cc.bintools.dynamicLinker;
        ldconfig = "${pkgs.glibc.bin}/bin/ldconfig";
        inherit environment services;
      });
      passAsFile = [ "json" ];
    } ''cp "$jsonPath" "$out"'';

  layers = import ./layers.nix {
    inherit pkgs init config packages foreignLibraries links;
  };

  # https://github.com/moby/docker-image-spec/blob/main/spec.md
  spec = {
    architecture = pkgs.stdenv.hostPlatform.go.GOARCH;
    os = "linux";
    created = epoch;
    config = {
      Entrypoint = [ "/init" ];
      Env = map (key: "${key}=${(defaults // env).${key}}") (attrNames (defaults // env));
      ExposedPorts."22/tcp" = { };
      Healthcheck = {
        Test = [ "CMD" "/bin/init" "status" ];
        Interval = 30 * second;
        Timeout = 10 * second;
        StartPeriod = 60 * second;
      };
      Labels = { "org.opencontainers.image.title" = name; } // labels;
      StopSignal = "SIGTERM";
      WorkingDir = "/root";
    };
    history = map (layer: { created = epoch; created_by = layer.name; }) layers;
    rootfs = { type = "layers"; diff_ids = [ "@layers@" ]; };
  };
  second = 1000000000;

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
in
pkgs.runCommand "${name}-${tag}.tar"
{
  spec = toJSON spec;
  passAsFile = [ "spec" ];
  inherit layers;
  reference = "${name}:${tag}";
} ''
  mkdir image
  cd image
  ids= files=
  for layer in $layers; do
    id=$(cat "$layer/id")
    ln -s "$layer/layer.tar" "$id.tar"
    ids="$ids,\"sha256:$id\""
    files="$files,\"$id.tar\""
  done
  sed "s/\"@layers@\"/''${ids#,}/" "$specPath" >spec.json
  spec=$(sha256sum spec.json | cut -d' ' -f1).json
  mv spec.json "$spec"
  printf '[{"Config":"%s","RepoTags":["%s"],"Layers":[%s]}]\n' "$spec" "$reference" "''${files#,}" >manifest.json
  tar --dereference --sort=name --mtime=@1 --owner=0 --group=0 --numeric-owner -cf "$out" *
''
