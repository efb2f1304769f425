{ config, lib, ... }:
{
  options.labels = lib.mkOption {
    type = lib.types.attrsOf lib.types.str;
    default = { };
    example = { "ai.vast.gpu" = "required"; };
    description = "Labels of the image, beside those of its name, tag and source.";
  };

  config.arguments = { inherit (config) labels; };
}
