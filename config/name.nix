{ config, lib, name, ... }:
{
  options.name = lib.mkOption {
    type = lib.types.str;
    default = name;
    defaultText = lib.literalMD "the name of the container in the flake";
    example = "trainer";
    description = "What the image is called: the last part of its repository.";
  };

  config = {
    arguments.name = config.name;
    assertions = [{
      assertion = builtins.match "[a-z0-9]+([._-][a-z0-9]+)*" config.name != null;
      message = "name: \"${config.name}\" is no name of a repository. It takes lower-case letters and digits, with "
        + "single dots, dashes or underscores between them; where the flake has another name, set "
        + "nix2vast.${name}.name = \"${lib.toLower (builtins.replaceStrings [ " " "/" ] [ "-" "-" ] config.name)}\".";
    }];
  };
}
