# A plan, made as users make theirs: by the program as a builder, in Nix' sandbox. The
# closure is small; busybox is the only program that there is.
{ nix2vast, busybox, greeting ? "hello", motd ? "" }:
let
  inherit (builtins) path;
  tool = path { path = nix2vast; name = "nix2vast"; };
  box = path { path = busybox; name = "busybox-1.35.0"; };
  run = name: script: derivation {
    inherit name;
    system = builtins.currentSystem;
    builder = "${box}/bin/busybox";
    args = [ "sh" "-euc" "${box}/bin/busybox --install -s .; PATH=$PWD; ${script}" ];
  };
  library = run "library-1.0" "mkdir $out; echo ${greeting} >$out/greeting; ln -s greeting $out/link";
  rootfs = run "rootfs" ''
    mkdir -p $out/bin $out/etc $out/tmp
    ln -s ${box}/bin/busybox $out/bin/sh
    ln -s ${library}/greeting $out/etc/greeting
    echo root::0:0::/: >$out/etc/passwd
    echo "${motd}" >$out/etc/motd
  '';
  modes = builtins.toFile "modes.json" (builtins.toJSON { "/tmp" = "1777"; "/etc/passwd" = "0600"; });
  init = run "init" "printf '#!/bin/sh\\nread line </etc/greeting\\necho \"$line\"\\n' >$out; chmod 555 $out";
in
derivation {
  name = "sample-image.json";
  system = builtins.currentSystem;
  builder = tool;
  args = [ "image" "plan" ];
  __structuredAttrs = true;
  exportReferencesGraph.graph = [ rootfs init ];
  image = {
    name = "sample";
    tag = "v1";
    architecture = "amd64";
    config = { Entrypoint = [ "/init" ]; Env = [ "PATH=/bin" ]; };
    groups = [ { name = "base"; roots = [ "${box}" ]; } ];
    rootfs = "${rootfs}";
    modes = "${modes}";
    files = [ { path = "${init}"; target = "/init"; mode = "0755"; } ];
  };
}
