{ config, lib, ... }:
{
  options.extraTags = lib.mkOption {
    type = lib.types.listOf lib.types.str;
    default = lib.optional config.cuda.enable "cuda-${config.cuda.version}-${config.tag}";
    defaultText = lib.literalExpression ''lib.optional cuda.enable "cuda-''${cuda.version}-''${tag}"'';
    example = [ "latest" ];
    description = "Further tags that a push sets. Hosts look for the version of CUDA in a tag.";
  };

  config = {
    arguments.tags = config.extraTags;
    assertions = map
      (tag: {
        assertion = builtins.match "[A-Za-z0-9_][A-Za-z0-9._-]{0,127}" tag != null;
        message = "extraTags: \"${tag}\" is no tag. It takes 1 to 128 letters, digits, dots, dashes and underscores, "
          + "and begins with no dot or dash.";
      })
      config.extraTags;
  };
}
