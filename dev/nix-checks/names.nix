# A package set of names alone: enough to see what options come to, on any machine, and the
# same on each.
lib:
let
  package = name: {
    inherit name;
    type = "derivation";
    outPath = "/nix/store/00000000000000000000000000000000-${name}";
    meta.mainProgram = name;
  };
  packages = names: lib.genAttrs names package;
  cuda = packages [ "cuda_cudart" "libcublas" "cudnn" "nccl" "cudatoolkit" ];
in
packages [
  "atuin" "bash" "bash-preexec" "bat" "cacert" "coreutils" "curl" "eza" "fd" "ffmpeg" "file" "findutils" "fzf" "gawk" "gcc" "gdb"
  "git" "gnugrep" "gnumake" "gnused" "gnutar" "gzip" "htop" "iproute2" "jq" "less" "ncurses" "neovim" "nix" "openssh" "patchelf"
  "pkg-config" "procps" "python3" "ripgrep" "rsync" "starship" "strace" "tmux" "util-linux" "uv" "wget" "zlib" "zoxide"
] // {
  inherit lib;
  config = { allowUnfree = true; cudaSupport = true; };
  glibc = package "glibc" // { bin = package "glibc-bin"; };
  cudaPackages_12_8 = cuda;
  cudaPackages_12_9 = cuda;
  otherCuda = lib.mapAttrs (name: _: package "other-${name}") cuda;
  mailcap = package "mailcap";
  nginx = package "nginx";
  python3Packages.jupyterlab = package "jupyterlab";
  stdenv = {
    hostPlatform = { system = "x86_64-linux"; go.GOARCH = "amd64"; };
    cc = { bintools.dynamicLinker = "${package "glibc"}/lib/ld-linux-x86-64.so.2"; cc.lib = package "gcc-lib"; };
  };
  writeText = name: _: package name;
  writeShellApplication = attrs: package attrs.name;
}
