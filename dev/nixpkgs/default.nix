# What is real here: the packages of ../packages, and lib. The others are names with nothing
# behind them, which is enough for everything but building an image with them.
{ system, config ? { }, overlays ? [ ] }:
let
  lib = import ./lib;
  debs = import ./debs.nix { debs = ./debs; inherit system; };

  # As nixpkgs does for what is not free.
  free = package:
    if config.allowUnfree or false || (config.allowUnfreePredicate or (_: false)) package then package
    else throw "Package ‘${package.pname}’ has an unfree license (‘${package.meta.license.shortName}’), refusing to evaluate.";

  build = name: script: more: derivation ({
    inherit name system;
    builder = "${debs.bash}/bin/bash";
    args = [ "-euc" "${script}\nexit 0" ]; # the last word is the shell's, as in ../../modules/verbs.nix
    PATH = "${debs.coreutils}/bin";
  } // more);
  path = lib.concatMapStringsSep ":" (package: "${package}/bin");
  text = name: text: build name ''cat "$textPath" >"$out"'' { inherit text; passAsFile = [ "text" ]; };
  program = name: lines: build name ''cat "$textPath" >"$out"; chmod 755 "$out"'' {
    text = "#!${debs.bash}/bin/bash\n${lines}\n";
    passAsFile = [ "text" ];
  };
  stub = name: build name ''mkdir "$out"'' { } // {
    pname = name;
    version = "1";
    meta.mainProgram = name;
  };
  stubs = names: lib.genAttrs names stub;
  cuda = names: lib.mapAttrs (_: package: free (package // { meta.license = lib.licenses.nvidiaCuda; })) (stubs names);
in
stubs [
  "atuin" "bash-preexec" "bat" "eza" "fd" "file" "fzf" "gcc" "gdb" "git" "gnumake" "htop" "jq" "neovim" "pkg-config"
  "ffmpeg" "ripgrep" "shellcheck" "starship" "strace" "uv" "zoxide" "go" "go-tools" "nixpkgs-fmt"
  # Of the examples.
  "comfyui" "mailcap" "munge" "nginx" "open-webui" "rclone" "redis" "slurm" "vllm"
  # Of the shell of those who work on this.
  "distribution" "fish" "netcat-openbsd" "nodejs" "podman" "postgresql" "runc" "skopeo" "zsh"
] // debs // {
  inherit lib config overlays system;
  path = ./.;
  stdenv = debs.stdenv // {
    hostPlatform = debs.stdenv.hostPlatform // { isLinux = true; isDarwin = false; };
  };
  _cuda.lib.allowUnfreeCudaPredicate = package: package.meta.license.shortName or "" == "CUDA EULA";
  unfree = free (stub "unfree" // { meta.license = lib.licenses.unfree; });
  cudaPackages_12_8 = cuda [ "cuda_cudart" "libcublas" "cudnn" "nccl" "cudatoolkit" "libcufft" ];
  cudaPackages_12_9 = cuda [ "cuda_cudart" "libcublas" "cudnn" "nccl" "cudatoolkit" ];

  # The programs as make build left them.
  buildGoModule = attrs:
    let
      lines =
        if attrs.pname == "init" then ''install -m 755 ${./programs/init} "$out"''
        else ''install -D -m 755 ${./programs}/${attrs.pname} "$out/bin/${attrs.pname}"'';
    in
    build attrs.pname lines { } // { inherit (attrs) pname version; meta = attrs.meta or { }; };
  mkShell = attrs: builtins.deepSeq (map toString attrs.packages) (stub "shell" // attrs);
  fetchurl = attrs: stub (baseNameOf attrs.url);
  runCommand = name: attrs: lines: build name lines {
    PATH = path ([ debs.coreutils ] ++ attrs.nativeBuildInputs or [ ]);
  };
  # What nixpkgs' tester of modular services makes its tests of, where nix-eval.sh was given it.
  testers = lib.optionalAttrs (builtins.pathExists ./tester.nix) {
    modularServiceCompliance = import ./tester.nix {
      inherit lib;
      inherit (debs) coreutils gnugrep;
      writeShellScript = program;
      writeShellApplication = attrs:
        let
          script = program attrs.name ''
            set -euo pipefail
            PATH=${path attrs.runtimeInputs}
            ${attrs.text}'';
        in
        build attrs.name ''mkdir -p "$out/bin"; cat ${script} >"$out/bin/${attrs.name}"; chmod 755 "$out/bin/${attrs.name}"'' { }
        // { meta.mainProgram = attrs.name; };
      stdenvNoCC.mkDerivation = f:
        let attrs = f { inherit (attrs) passthru testResults; finalPackage = attrs.passthru // { inherit (attrs) testResults; }; }; in
        derivation {
          inherit system;
          inherit (attrs) name representative testResults buildCommand;
          __structuredAttrs = true;
          builder = "${debs.bash}/bin/bash";
          args = [ "-euc" ''. ./.attrs.sh; out=''${outputs[out]}; eval "$buildCommand"; exit 0'' ];
          PATH = path [ debs.coreutils ];
        };
    };
  };
  ollama = stub "ollama" // { override = _: stub "ollama"; };
  python3 = stub "python3" // { withPackages = _: stub "python3-with-packages"; };
  python3Packages = stubs [ "jupyterlab" "ray" ];
  writeShellApplication = attrs: stub attrs.name;
  writeText = text;
}
