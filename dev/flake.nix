# What only those need who work on this repository, or check it: users fetch none of it. The checks, the
# shell and the formatter of ../flake.nix have these inputs beside its own.
{
  description = "Inputs of nix2vast's own checks";

  inputs.services-flake.url = "github:juspay/services-flake";

  outputs = _: { };
}
