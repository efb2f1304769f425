# Stands for the file of nixpkgs, which nixpkgs' lib does not come with.
{ lib, ... }:
{
  options.meta = lib.mkOption { type = lib.types.raw; default = { }; };
}
