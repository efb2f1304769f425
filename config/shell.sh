# shellcheck shell=bash
# Read by interactive shells. Each line is for a program that may be missing, or gone.
has() { command -v "$1" >/dev/null 2>&1; }
has fzf && eval "$(fzf --bash)"
has zoxide && eval "$(zoxide init bash)"
has atuin && [ -n "${bash_preexec_imported-}" ] && eval "$(atuin init bash --disable-up-arrow)"
has starship && [ "$TERM" != dumb ] && eval "$(starship init bash)"
has eza && alias ll='eza -l --git' la='eza -la --git'
has nvim && export EDITOR=nvim
unset -f has
