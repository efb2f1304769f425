# One container: its options, which are the files of ../config, what they come to, and what
# is made of that. An option says in its own file which arguments it is; ../image takes no
# others.
{ config, lib, name, pkgs, programs, ... }:
let
  files = builtins.attrNames (lib.filterAttrs (file: _: lib.hasSuffix ".nix" file) (builtins.readDir ../config));
  problems = map (a: a.message) (builtins.filter (a: !a.assertion) config.assertions);
  checked = value:
    if problems != [ ] then
      throw "nix2vast.${name}: ${lib.concatStringsSep "\nnix2vast.${name}: " problems}"
    else
      lib.foldr (text: lib.warn "nix2vast.${name}: ${text}") value config.warnings;
in
{
  imports = map (file: ../config + "/${file}") files
    ++ [ ./aliases.nix ./arguments.nix ./names.nix ./ports.nix ./problems.nix ];

  options.plan = lib.mkOption {
    type = lib.types.raw;
    readOnly = true;
    internal = true;
    description = "The derivation of the image's plan, with the programs that bring it somewhere.";
  };

  config.plan =
    let
      plan = import ../image (checked (config.arguments // {
        inherit pkgs;
        inherit (programs) init;
        nix2vast = "${programs.nix2vast}/bin/nix2vast";
      }));
    in
    plan // import ./verbs.nix { inherit config pkgs plan programs; };
}
