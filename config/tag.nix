{ config, lib, source, ... }:
let
  time = source.lastModifiedDate or "19700101000001";
in
{
  options.tag = lib.mkOption {
    type = lib.types.str;
    default = "${builtins.substring 0 8 time}-${builtins.substring 8 6 time}";
    defaultText = lib.literalMD "the time of the flake's last commit, as `20250914-142437`";
    example = "v1.2";
    description = "The tag that names this very image. The same source gets the same one.";
  };

  config = {
    arguments.tag = config.tag;
    assertions = [{
      assertion = builtins.match "[A-Za-z0-9_][A-Za-z0-9._-]{0,127}" config.tag != null;
      message = "tag: \"${config.tag}\" is no tag. It takes 1 to 128 letters, digits, dots, dashes and underscores, "
        + "and begins with no dot or dash, such as \"v1.2\".";
    }];
  };
}
