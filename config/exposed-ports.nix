{ config, lib, ... }:
{
  options.exposedPorts = lib.mkOption {
    # A set is how images, and nix2gpu, write it: { "22/tcp" = { }; }.
    type = lib.types.coercedTo (lib.types.attrsOf lib.types.anything) builtins.attrNames
      (lib.types.listOf (lib.types.strMatching "[0-9]{1,5}(/(tcp|udp|sctp))?"));
    default = lib.optional config.ssh.enable "${toString config.ssh.port}/tcp";
    defaultText = lib.literalExpression ''lib.optional ssh.enable "''${toString ssh.port}/tcp"'';
    example = [ "22/tcp" "8080/tcp" ];
    description = "Ports that the image says to have. Hosts offer them; nothing is opened or closed by it.";
  };

  config = {
    arguments = { inherit (config) exposedPorts; };
    assertions = map
      (port: {
        assertion = builtins.match "0+(/.*)?" port == null
          && lib.toInt (builtins.head (builtins.match "0*([0-9]+).*" port)) <= 65535;
        message = "exposedPorts: ${port} is not in 1 to 65535.";
      })
      config.exposedPorts;
  };
}
