# Who a file or directory of the image belongs to: a module of both their submodules.
{ lib, ... }:
let
  number = what: lib.mkOption {
    type = lib.types.ints.between 0 999999999;
    default = 0;
    example = 1000;
    description = "The number of the ${what} that it belongs to; that of root is 0.";
  };
in
{
  options.uid = number "user";
  options.gid = number "group";
}
