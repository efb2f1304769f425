{ config, lib, ... }:
let
  # What only its owner may know. Names of files that hold it are fine.
  secret = name: builtins.match "ROOT_PASSWORD|(TS|TAILSCALE)_.*(AUTHKEY|AUTH_KEY)|TS_(CLIENT_SECRET|ID_TOKEN)" name != null;
in
{
  options.env = lib.mkOption {
    type = lib.types.attrsOf lib.types.str;
    default = { };
    example = { HF_HOME = "/workspace/huggingface"; };
    description = "Variables of the container, in sessions and services too. What a renter sets wins.";
  };

  config = {
    arguments.env = lib.filterAttrs (name: _: !secret name) config.env;
    assertions = lib.mapAttrsToList
      (name: _: {
        assertion = !secret name;
        message = "env.${name}: its value would be in the Nix store and in the image, for all to read. Leave it out, and "
          + "set it where the container is started: the host's form, or docker run -e ${name}=…";
      })
      config.env
    ++ lib.mapAttrsToList
      (name: _: {
        assertion = builtins.match "[^=]+" name != null;
        message = "env: \"${name}\" is no name of a variable.";
      })
      config.env;
  };
}
