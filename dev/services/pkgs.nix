# A set of packages for evaluating services where nixpkgs is not there: each name in
# `names` is a package that only has a path. Nothing of it can be built, and nothing has to.
{ lib }:
let
  # The path says what it is, so that expected results can be read.
  package = pname: rec {
    type = "derivation";
    inherit pname;
    name = "${pname}-1.0.0";
    version = "1.0.0";
    outPath = "/nix/store/00000000000000000000000000000000-${lib.strings.sanitizeDerivationName name}";
    drvPath = "${outPath}.drv";
    outputName = "out";
    outputs = [ "out" ];
    meta.mainProgram = pname;
    passthru = { };
    out = package pname;
    dev = package pname;
    bin = package pname;
    override = _: package pname;
    overrideAttrs = _: package pname;
  };

  names = [
    "awscli2" "azurite" "bash" "cacert" "cassandra" "clickhouse" "comfyui" "coreutils" "curl" "dynamodb-local" "elasticmq-server-bin"
    "elasticsearch7" "envsubst" "fcgi" "findutils" "gawk" "gettext" "gnugrep" "gnused" "grafana" "grafana-alloy" "grafana-loki" "jq" "jre"
    "mailcap" "mailhog" "mariadb" "memcached" "minio" "mongodb-ce" "mongosh" "munge" "mysql84" "natscli" "nats-server" "neo4j" "nginx" "ollama"
    "open-webui" "pgadmin4" "php" "plantuml" "procps" "prometheus" "pyroscope" "qdrant" "rclone" "redis" "searxng" "seaweedfs" "slurm" "tempo"
    "tika" "tzdata" "uutils-coreutils-noprefix" "uv" "valkey" "vllm" "weaviate"
  ];

  written = name: text: package name // { inherit text; };
  format = _: { type = lib.types.attrs; generate = name: _: package name; };
in
lib.genAttrs names package // {
  inherit lib;
  system = "x86_64-linux";
  config = { cudaSupport = true; rocmSupport = false; };
  stdenv = {
    isDarwin = false;
    isLinux = true;
    hostPlatform = { isDarwin = false; isLinux = true; system = "x86_64-linux"; };
    mkDerivation = attrs: package (attrs.name or attrs.pname);
  };

  apacheKafka = package "apacheKafka" // { passthru.jdks = [ ]; };
  elasticsearchPlugins = { };
  google-cloud-sdk = package "gcloud" // {
    components = { pubsub-emulator = package "pubsub-emulator"; beta = package "beta"; };
    withExtraComponents = _: package "gcloud";
  };
  grafanaPlugins = { };
  netcat = package "netcat" // { nc = package "nc"; };
  postgresql = package "postgresql" // { pkgs = { }; psqlSchema = "16"; withPackages = _: package "postgresql"; };
  python3Packages = lib.genAttrs [ "chromadb" "jupyterlab" "ray" ] package;
  zookeeper = package "zookeeper" // { jre = package "jre"; };

  buildEnv = attrs: package attrs.name;
  buildGoModule = attrs: package attrs.pname;
  fetchurl = attrs: package (baseNameOf attrs.url);
  formats = lib.genAttrs [ "ini" "javaProperties" "json" "keyValue" "toml" "yaml" ] (_: format);
  linkFarm = name: _: package name;
  mkShell = _: package "shell";
  runCommand = name: _: _: package name;
  runCommandLocal = name: _: _: package name;
  symlinkJoin = attrs: package attrs.name;
  writeShellApplication = attrs: written attrs.name attrs.text;
  writeShellScript = written;
  writeShellScriptBin = written;
  writeText = written;
  writeTextDir = path: written (baseNameOf path);
  writeTextFile = attrs: written attrs.name attrs.text;
}
