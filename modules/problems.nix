# What is wrong with a container, and what its author should know. As in NixOS.
{ lib, ... }:
{
  options = {
    assertions = lib.mkOption {
      type = lib.types.listOf lib.types.unspecified;
      default = [ ];
      internal = true;
      description = "What has to be true, and what is said where it is not.";
    };
    warnings = lib.mkOption {
      type = lib.types.listOf lib.types.str;
      default = [ ];
      internal = true;
      description = "What is said, and the image is made.";
    };
  };
}
