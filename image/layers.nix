# The layers of an image, from the bottom up. Each is a folder with layer.tar and
# its sha256 in `id`: no time, user or order of this machine gets into it.
{ pkgs, init, config, packages, foreignLibraries, links }:
let
  layer = name: environment: script: pkgs.runCommand "layer-${name}" environment ''
    # pack FOLDER adds the files below it that standard input lists, NUL-ended.
    pack() {
      sort -z | tar -rf "$out/layer.tar" --null --no-recursion --mtime=@1 \
        --owner=0 --group=0 --numeric-owner -C "$1" -T -
    }
    mkdir "$out" root
    ${script}
    sha256sum "$out/layer.tar" | cut -d' ' -f1 >"$out/id"
  '';

  rootfs = import ./rootfs.nix { inherit pkgs layer config packages foreignLibraries links; };

  # Every store path that the root file system names, with what they need.
  closure = layer "closure" { exportReferencesGraph = [ "graph" rootfs ]; inherit rootfs; } ''
    mkdir -p root/nix/store
    printf '%s\0' nix nix/store | pack root
    paths=$(grep '^/nix/store/' graph | grep -vxF "$rootfs" | sort -u | cut -c2-)
    (cd / && find $paths -print0) | pack /
  '';

  program = layer "init" { inherit init; } ''
    cp "$init" root/init
    chmod 755 root/init
    printf 'init\0' | pack root
  '';
in
[ closure rootfs program ]
