{ config, lib, ... }:
let
  scheme = builtins.match "([a-z]+)://(.*)";
  host = registry: builtins.head (lib.splitString "/" registry);
  last = registry: lib.last (lib.splitString "/" registry);
  problem = registry:
    if scheme registry != null then
      "leave \"${builtins.head (scheme registry)}://\" out and write \"${builtins.elemAt (scheme registry) 1}\""
    else if builtins.match ".*[.:].*|localhost" (host registry) == null then
      "it names no host; Docker Hub's is docker.io, so write \"docker.io/${registry}\""
    else if lib.hasInfix "/" registry && lib.hasInfix ":" (last registry) then
      "it ends in a tag, which the option tag is; write \"${lib.removeSuffix "/${last registry}" registry}\""
    else if lib.hasSuffix "/${config.name}" registry then
      "it ends in the image's name, which is added; write \"${lib.removeSuffix "/${config.name}" registry}\""
    else if lib.toLower registry != registry then
      "no registry takes capital letters; write \"${lib.toLower registry}\""
    else null;
in
{
  options.registries = lib.mkOption {
    type = lib.types.listOf lib.types.str;
    default = [ ];
    example = [ "ghcr.io/fleek-platform" ];
    description = "Where copyToRegistry sends the image, without its name.";
  };

  config = {
    arguments = { inherit (config) registries; };
    assertions = map
      (registry: {
        assertion = problem registry == null;
        message = "registries: \"${registry}\": ${toString (problem registry)}.";
      })
      config.registries;
  };
}
