# What somebody who logs in to a rented machine expects to find, and what hosts
# call by name when they start one (tmux, rsync, ps, ip …).
pkgs: [
  pkgs.bash
  pkgs.coreutils
  pkgs.curl
  pkgs.findutils
  pkgs.gawk
  pkgs.glibc.bin
  pkgs.gnugrep
  pkgs.gnused
  pkgs.gnutar
  pkgs.gzip
  pkgs.iproute2
  pkgs.less
  pkgs.ncurses
  pkgs.openssh
  pkgs.procps
  pkgs.rsync
  pkgs.tmux
  pkgs.util-linux
  pkgs.wget
]
