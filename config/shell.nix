{ config, lib, pkgs, ... }:
let
  cfg = config.shell;
in
{
  options.shell = {
    enable = lib.mkOption {
      type = lib.types.bool;
      default = true;
      example = false;
      description = "Whether there is a shell that one likes to be in, set up to use what it has.";
    };
    packages = lib.mkOption {
      type = lib.types.listOf lib.types.package;
      default = [
        pkgs.atuin
        pkgs.bash-preexec
        pkgs.bat
        pkgs.eza
        pkgs.fd
        pkgs.fzf
        pkgs.htop
        pkgs.jq
        pkgs.neovim
        pkgs.ripgrep
        pkgs.starship
        pkgs.tmux
        pkgs.zoxide
      ];
      defaultText = lib.literalMD "atuin, bat, eza, fd, fzf, htop, jq, neovim, ripgrep, starship, tmux, zoxide";
      example = lib.literalExpression "[ pkgs.ripgrep pkgs.fzf ]";
      description = "What it has.";
    };
    init = lib.mkOption {
      type = lib.types.lines;
      default = "";
      example = "alias gs='git status'";
      description = "Lines for bash, read by each interactive shell.";
    };
  };

  config.arguments = lib.mkMerge [
    (lib.mkIf cfg.enable {
      groups = lib.mkOrder 1050 [{ name = "shell"; inherit (cfg) packages; }];
      files."/etc/bashrc.d/10-shell.sh".source = "${./shell.sh}";
      links = lib.mkIf (builtins.elem pkgs.bash-preexec cfg.packages) {
        "/etc/bashrc.d/05-preexec.sh" = "${pkgs.bash-preexec}/share/bash/bash-preexec.sh";
      };
    })
    (lib.mkIf (cfg.init != "") { files."/etc/bashrc.d/50-image.sh".text = cfg.init; })
  ];
}
