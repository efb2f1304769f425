module nix2container

go 1.26

require github.com/nlewo/nix2container v1.0.0
