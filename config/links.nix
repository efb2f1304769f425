{ config, lib, ... }:
{
  options.links = lib.mkOption {
    type = lib.types.attrsOf lib.types.str;
    default = { };
    example = lib.literalExpression ''{ "/opt/python" = "''${pkgs.python3}"; }'';
    description = "Symbolic links of the image: where each leads to, by path.";
  };

  config.arguments = { inherit (config) links; };
}
