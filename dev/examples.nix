# The flakes of ../examples, evaluated as they stand: { <example> = its outputs; }. `inputs` are those that an
# example may name, nix2vast among them; each gets the ones that it does name.
{ lib, inputs }:
let
  # Without Nix' own fetching and locking. The outPath is no path of Nix: that would be copied.
  call = dir: inputs:
    let self = (import (dir + "/flake.nix")).outputs (inputs // { inherit self; }) // { inherit inputs; outPath = toString dir; _type = "flake"; }; in
    self;
  wanted = example: lib.filterAttrs (name: _: (import (../examples + "/${example}/flake.nix")).inputs ? ${name}) inputs;
  examples = lib.attrNames (lib.filterAttrs (_: type: type == "directory") (builtins.readDir ../examples));
in
lib.genAttrs examples (example: call (../examples + "/${example}") (wanted example))
