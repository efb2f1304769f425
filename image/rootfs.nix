# The layer with the root file system: ./rootfs, links to the packages'
# programs, and the floor that hosts and drivers need. All of /etc is real and
# writable, as renters, hosts and the NVIDIA runtime edit it.
#
# Left out, because init makes them when it boots and knows what was injected:
# the loader in /lib64 (or /lib), /sbin/ldconfig, the driver's ld.so.conf.d file.
# No library of a driver is ever in an image.
{ pkgs, layer, config, packages, foreignLibraries, links }:
let
  inherit (builtins) attrNames concatStringsSep map;
in
layer "rootfs"
{
  tree = builtins.path { path = ./rootfs; name = "rootfs"; };
  programs = map (p: "${p}/bin") packages;
  foreign = map (p: "${p}/lib") foreignLibraries;
  links = map (path: "${path}=${links.${path}}") (attrNames links);
  inherit config;
  inherit (pkgs) cacert glibc ncurses openssh;
} ''
  cp -r "$tree/." root
  chmod -R u+w root
  (
    cd root
    mkdir -p dev proc sys run mnt opt srv home workspace root/.ssh \
      etc/nix2vast etc/profile.d etc/ld.so.conf.d etc/ssh/sshd_config.d etc/ssl/certs \
      usr/bin usr/sbin usr/lib usr/lib64 usr/local/bin usr/local/sbin usr/share usr/lib/locale \
      tmp var/empty var/lib var/log var/tmp var/cache

    # Relative, as NVIDIA's legacy runtime follows an absolute one on the host.
    ln -s usr/bin bin
    ln -s usr/sbin sbin
    ln -s usr/lib lib
    ln -s usr/lib64 lib64
    ln -s ../run var/run
    ln -s ../../init usr/bin/init
    ln -s ../../init usr/bin/systemctl

    # The first package that has a program of some name wins. ldconfig is init's.
    for folder in $programs; do
      for program in "$folder"/*; do
        target=usr/bin/''${program##*/}
        case $target in
          */ldconfig | */ld.so) continue ;;
        esac
        [ -e "$target" ] || [ -L "$target" ] || ln -s "$program" "$target"
      done
    done
    ln -s "$openssh/bin/sshd" usr/sbin/sshd
    ln -s "$openssh/libexec" usr/lib/openssh

    ln -s "$cacert/etc/ssl/certs/ca-bundle.crt" etc/ssl/certs/ca-certificates.crt
    ln -s "$glibc/lib/locale/C.utf8" usr/lib/locale/C.utf8
    ln -s "$ncurses/share/terminfo" usr/share/terminfo
    for link in $links; do
      ln -s "''${link#*=}" ".''${link%%=*}"
    done

    # Legacy injection puts libraries into /usr/lib/<triplet>, where this file
    # is, and into /usr/lib64 elsewhere.
    echo 13.0 >etc/debian_version
    for folder in $foreign; do
      echo "$folder"
    done >etc/ld.so.conf.d/50-nix2vast-foreign.conf
    cp "$config" etc/nix2vast/config.json

    find . -type d -exec chmod 755 {} +
    find . -type f -exec chmod 644 {} +
    chmod 1777 tmp var/tmp
    chmod 700 root root/.ssh
    chmod 600 etc/shadow
  )
  (cd root && find . -mindepth 1 -printf '%P\0') | pack root
''
