# A container with every option in use: what it comes to is ../../image/testdata/sample.json.
{ pkgs, ... }:
{
  name = "everything";
  tag = "v1.2";
  extraTags = [ "latest" ];
  registries = [ "ghcr.io/owner" "localhost:5000" ];
  packages = [ pkgs.ffmpeg ];
  base.packages = [ pkgs.bash pkgs.openssh ];
  base.libraries = [ pkgs.zlib ];
  dev.packages = [ pkgs.gcc ];
  shell = { packages = [ pkgs.fzf pkgs.bash-preexec ]; init = "alias gs='git status'"; };
  nix.package = pkgs.uv; # another one than pkgs.nix
  nixConfig = { cores = 4; extra-substituters = [ "https://cache.example.org" ]; };
  cuda = { version = "12.9"; packages = pkgs.otherCuda; components = [ "cuda_cudart" "cudnn" ]; toolkit = true; };
  gpu = { mode = "require"; wait = "30s"; capabilities = [ "all" ]; requires = "cuda>=12.8"; glibcCache = false; searchDirs = [ "/opt/driver/lib" "/opt/driver/lib64" ]; };
  env = { HF_HOME = "/workspace/huggingface"; http_proxy = "http://proxy:3128"; };
  users.root.hashedPassword = "$6$nosaltatall$rh0UmO0d5TaKyXXyQyRTEp6bKLzM0mYP2J0XQGMNZfQyGkU7Nxxf1mJ3q3kqQnX8pC0S9oQGzv4k1y8wK1c2b/";
  users.root.authorizedKeys = [ "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEXAMPLE me@laptop" ];
  ssh = { port = 2222; settings = { MaxSessions = 50; X11Forwarding = true; }; };
  tailscale = {
    enable = true;
    mode = "require";
    authKeyFile = "/run/secrets/tailscale";
    hostname = "trainer";
    tags = [ "tag:gpu" "tag:train" ];
    ephemeral = true;
    ssh = true;
    acceptDns = false;
    controlUrl = "https://headscale.example.org";
    expose = [ 22 "8000-9000" "loopback" ];
    serve."443".proxy = "http://127.0.0.1:8080";
    serve."80" = { proxy = "http://127.0.0.1:8080"; https = false; };
    serve."5432".tcp = "127.0.0.1:5432";
    serve."8443" = { tcp = "127.0.0.1:8000"; tls = true; };
  };
  processes.web = { command = "exec web --port 8080"; depends_on.cache.condition = "process_started"; };
  settings = { ordered_shutdown = true; processes.other.command = "exec other"; };
  system.services.worker = {
    process.argv = [ "${pkgs.python3}/bin/python3" "-m" "worker" ];
    nix2vast.After = [ "gpu" ];
  };
  home = { files.".vimrc".text = "set number\n"; activation = pkgs.git; };
  files."/etc/motd" = { text = "two\nlines\n"; mode = "0600"; uid = 1000; gid = 100; };
  files."/opt/tool".source = "${pkgs.jq}/bin/jq";
  directories."/data" = { mode = "1777"; uid = 1000; gid = 100; };
  links."/opt/python" = "${pkgs.python3}";
  labels."ai.vast.gpu" = "required";
  exposedPorts = [ "2222/tcp" "8080" ];
  workingDir = "/workspace";
  user = "0:0";
  stopSignal = "SIGINT";
  healthcheck = { command = [ "/bin/init" "status" "--json" ]; interval = 60; timeout = 5; startPeriod = 300; };
  hooks = {
    boot = "mkdir -p /workspace/cache";
    gpu = "nvidia-smi --persistence-mode=1";
    preGpu = "sync";
    preServices = "test -e /workspace/model";
    postReady = "touch /workspace/ready";
  };
  image = {
    compression = "both";
    compressionLevel = 9;
    maxLayers = 60;
    ownLayer = 67108864;
    partLayer = 268435456;
    groups = [{ name = "models"; roots = [ pkgs.strace ]; }];
    created = "2025-09-14T14:24:37Z";
    source = "https://github.com/owner/repository";
  };
  supervisor = { stopTimeout = "60s"; log = "json"; metrics = ":9400"; workspace = "/data"; logDir = "/data/logs"; statusSocket = "/shared/init.sock"; onExit = "exit"; };
}
