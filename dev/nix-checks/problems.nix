# What is wrong, and a part of what is said of it: the option's path, and the cure.
[
  { config.name = "My Image"; says = [ "name: \"My Image\" is no name of a repository" "nix2vast.sample.name = \"my-image\"" ]; }
  { config.tag = "-x"; says = [ "tag: \"-x\" is no tag" "such as \"v1.2\"" ]; }
  { config.extraTags = [ "a b" ]; says = [ "extraTags: \"a b\" is no tag" ]; }
  { config.registries = [ "https://ghcr.io/owner" ]; says = [ "registries: \"https://ghcr.io/owner\": leave \"https://\" out and write \"ghcr.io/owner\"" ]; }
  { config.registries = [ "owner" ]; says = [ "registries: \"owner\": it names no host" "\"docker.io/owner\"" ]; }
  { config.registries = [ "ghcr.io/owner/sample" ]; says = [ "it ends in the image's name, which is added; write \"ghcr.io/owner\"" ]; }
  { config.registries = [ "ghcr.io/owner/sample:v1" ]; says = [ "it ends in a tag, which the option tag is" ]; }
  { config.registries = [ "ghcr.io/Owner" ]; says = [ "no registry takes capital letters; write \"ghcr.io/owner\"" ]; }
  { config.env.TAILSCALE_AUTHKEY = "tskey-auth-x"; says = [ "env.TAILSCALE_AUTHKEY: its value would be in the Nix store" "docker run -e TAILSCALE_AUTHKEY=…" ]; }
  { config.env.TS_AUTHKEY = "tskey-auth-x"; says = [ "env.TS_AUTHKEY: its value would be in the Nix store" ]; }
  { config.env.ROOT_PASSWORD = "x"; says = [ "env.ROOT_PASSWORD: its value would be in the Nix store" ]; }
  { config.tailscale.authKey = "tskey-auth-x"; says = [ "tailscale.authKey" "Set TAILSCALE_AUTHKEY where the container is started" ]; }
  { config.tailscale.authKeyFile = ./problems.nix; says = [ "tailscale.authKeyFile: this file would be copied to the Nix store" "\"/run/secrets/tailscale\"" ]; }
  { config.tailscale.authKeyFile = "${builtins.storeDir}/x-key"; says = [ "tailscale.authKeyFile: this file would be copied to the Nix store" ]; }
  { config.tailscale.authKeyFile = "tskey-auth-x"; says = [ "tailscale.authKeyFile: this is no absolute path" "revoke it, and set TAILSCALE_AUTHKEY" ]; }
  { config.tailscale = { enable = true; mode = "off"; }; says = [ "tailscale.mode: \"off\" forbids what tailscale.enable asks for" ]; }
  { config.tailscale.serve."70000".proxy = "http://127.0.0.1:80"; says = [ "tailscale.serve.\"70000\": this is no port. Name one of 1 to 65535" ]; }
  { config.tailscale.serve.https.tcp = "127.0.0.1:80"; says = [ "tailscale.serve.\"https\": this is no port" "tailscale.serve.\"443\"" ]; }
  { config.tailscale.serve."0443".tcp = "127.0.0.1:80"; says = [ "tailscale.serve.\"0443\": this is no port" ]; }
  { config.tailscale.serve."443" = { }; says = [ "tailscale.serve.\"443\": it needs a proxy or a tcp, and not both" ]; }
  { config.tailscale.serve."443" = { proxy = "http://127.0.0.1:80"; tcp = "127.0.0.1:80"; }; says = [ "tailscale.serve.\"443\": it needs a proxy or a tcp, and not both" ]; }
  { config.tailscale.serve."5432".tcp = "127.0.0.1:70000"; says = [ "tailscale.serve.\"5432\".tcp: \"127.0.0.1:70000\" ends in no port" ]; }
  { config.tailscale.serve."5432" = { tcp = "127.0.0.1:5432"; https = true; }; says = [ "tailscale.serve.\"5432\": https belongs to a proxy, tls to a tcp" ]; }
  { config.tailscale.serve."443" = { proxy = "http://127.0.0.1:80"; tls = true; }; says = [ "tailscale.serve.\"443\": https belongs to a proxy, tls to a tcp" ]; }
  { config.env."A=B" = ""; says = [ "env: \"A=B\" is no name of a variable" ]; }
  { config.users.root.authorizedKeys = [ "-----BEGIN OPENSSH PRIVATE KEY-----" ]; says = [ "users.root.authorizedKeys: \"-----BEGIN OPENSSH PRIVATE KEY…\" is no public key" "~/.ssh/id_ed25519.pub" ]; }
  { config.users.root.hashedPassword = "correct horse"; says = [ "users.root.hashedPassword: this is no hash of a password" "mkpasswd" ]; }
  { config.ssh.settings.PermitEmptyPasswords = true; says = [ "ssh.settings.PermitEmptyPasswords: anybody who reaches the port" "ssh.allowEmptyPassword = true" ]; }
  { config.ssh.settings.Port = 2222; says = [ "ssh.settings.Port: init has to know the port" "Set ssh.port" ]; }
  { config = { ssh.port = 9400; supervisor.metrics = ":9400"; }; says = [ "port 9400 is taken twice: by ssh.port and supervisor.metrics. Give each a port of its own" ]; }
  { config.processes.sshd.command = "x"; says = [ "the service name \"sshd\" is taken twice: by nix2vast itself and by processes.sshd" ]; }
  { config.processes.tailnet.command = "x"; says = [ "the service name \"tailnet\" is taken twice: by nix2vast itself and by processes.tailnet" ]; }
  { config = { services.nginx.web = { enable = true; port = 8888; }; services.jupyter.lab.enable = true; }; says = [ "port 8888 is taken twice: by services.jupyter.lab.port and services.nginx.web.port" ]; }
  { config = { services.nginx.web.enable = true; services.jupyter.web.enable = true; }; says = [ "the service name \"web\" is taken twice: by services.jupyter.web and by services.nginx.web. Give one of them another name" ]; }
  { config = { services.nginx.web.enable = true; processes.web.command = "x"; }; says = [ "the service name \"web\" is taken twice: by services.nginx.web and by processes.web" ]; }
  { config = { services.nginx.web.enable = true; system.services.web.process.argv = [ "/x" ]; }; says = [ "the service name \"web\" is taken twice: by services.nginx.web and by system.services.web" ]; }
  { config = { processes.hook-boot.command = "x"; hooks.boot = "true"; }; says = [ "the service name \"hook-boot\" is taken twice: by processes.hook-boot and by hooks.boot" ]; }
  { config = { processes.hook-pre-gpu.command = "x"; hooks.preGpu = "true"; }; says = [ "the service name \"hook-pre-gpu\" is taken twice: by processes.hook-pre-gpu and by hooks.preGpu" ]; }
  { config = { processes.hook-pre-services.command = "x"; hooks.preServices = "true"; }; says = [ "the service name \"hook-pre-services\" is taken twice: by processes.hook-pre-services and by hooks.preServices" ]; }
  { config = { processes.hook-post-ready.command = "x"; hooks.postReady = "true"; }; says = [ "the service name \"hook-post-ready\" is taken twice: by processes.hook-post-ready and by hooks.postReady" ]; }
  { config.exposedPorts = [ "70000/tcp" ]; says = [ "exposedPorts: 70000/tcp is not in 1 to 65535" ]; }
  { config.cuda.version = "11.8"; says = [ "cuda.version: this nixpkgs has no CUDA 11.8. It has 12.8, 12.9" ]; }
  { config.cuda.components = [ "cudn" ]; says = [ "cuda.components: CUDA 12.8 has no \"cudn\"" "cudnn" ]; }
  { config.files."/x" = { }; says = [ "files.\"/x\": it needs a text or a source, and not both" ]; }
  { config.home.files."/etc/x".text = ""; says = [ "home.files.\"/etc/x\": the path is one in root's home" ]; }
  { config.home.files."../x".text = ""; says = [ "home.files.\"../x\": the path is one in root's home" ]; }
  { config = { nix.enable = false; home.activation = { type = "derivation"; outPath = "/x"; }; }; says = [ "home.activation: home-manager keeps its generations with Nix. Set nix.enable = true" ]; }
  { config.image.created = "yesterday"; says = [ "image.created: \"yesterday\" is no time of RFC 3339" ]; }
  { config.image.maxLayers = 126; says = [ "image.maxLayers: engines take 125 layers at most" "120 is the limit" ]; }
  { config.image.compressionLevel = 10; says = [ "image.compressionLevel: with image.compression = \"gzip\" it is 1 to 9, and not 10" ]; }
  { config.image = { compression = "zstd"; compressionLevel = 0; }; says = [ "image.compressionLevel: with image.compression = \"zstd\" it is 1 to 22, and not 0" ]; }
  { config.image = { compression = "both"; compressionLevel = 19; }; says = [ "image.compressionLevel: with image.compression = \"both\" it is 1 to 9, and not 19" ]; }
  { config.image = { compression = "none"; compressionLevel = 1; }; says = [ "image.compressionLevel: what is not compressed has no level" "image.compression = \"gzip\"" ]; }
  { config.sshdConfig = "Port 22"; says = [ "sshdConfig" "ssh.settings" ]; }
  { config.copyToRoot = [ ]; says = [ "copyToRoot" "files.\"/path\".source" ]; }
  { config.age = { enable = true; secrets.key.file = "key.age"; }; says = [ "age" "see examples/secrets" ]; }
  { config.nimiSettings = { }; says = [ "nimiSettings" "system.services" ]; }
]
