{ config, lib, source, ... }:
let
  cfg = config.image;
  level = cfg.compressionLevel;
  levels = { gzip = 9; zstd = 22; both = 9; none = 0; }.${cfg.compression}; # with both, each has the level
  layer = example: description: lib.mkOption {
    type = lib.types.nullOr lib.types.ints.positive;
    default = null;
    inherit example description;
  };
  group = lib.types.submodule {
    options = {
      name = lib.mkOption {
        type = lib.types.str;
        example = "models";
        description = "What it is called.";
      };
      roots = lib.mkOption {
        type = lib.types.listOf lib.types.package;
        example = lib.literalExpression "[ pkgs.python3Packages.torch ]";
        description = "What is in it, with all that these need.";
      };
    };
  };
in
{
  options.image = {
    compression = lib.mkOption {
      type = lib.types.enum [ "gzip" "zstd" "both" "none" ];
      default = "gzip";
      example = "both";
      description = ''
        Of layers when they are pushed. zstd is smaller and faster, and Docker before 23 cannot read it; both: zstd under
        tags of its own.
      '';
    };
    compressionLevel = lib.mkOption {
      type = lib.types.nullOr lib.types.int;
      default = null;
      example = 9;
      description = ''
        How hard layers are compressed when they are pushed: higher is smaller and slower. Of gzip 1 to 9; of zstd 1 to 22,
        of which 1 and 2, 3 to 5, 6 to 9, and those above are the same; of both 1 to 9, for each. By default one that is
        quick and small. Another level is another image: all its layers are sent again.
      '';
    };
    maxLayers = layer 60 "How many layers there may be; by default 100. Engines take 125 at most.";
    ownLayer = layer 67108864 "From how many bytes on a store path is a layer of its own; by default 32 MiB.";
    partLayer = layer 268435456 "Above how many bytes a store path is split into several layers; by default 512 MiB.";
    groups = lib.mkOption {
      type = lib.types.listOf group;
      default = [ ];
      example = lib.literalExpression ''[ { name = "models"; roots = [ model ]; } ]'';
      description = "What changes together, beside base, nix, dev, cuda, services and packages; from what changes least on.";
    };
    created = lib.mkOption {
      type = lib.types.str;
      default = "1970-01-01T00:00:01Z";
      example = "2025-09-14T14:24:37Z";
      description = "The time that the image tells. It is no reading of a clock: the same source is the same image.";
    };
    source = lib.mkOption {
      type = lib.types.str;
      default = "";
      example = "https://github.com/fleek-platform/nix2vast";
      description = "Where the source of the image is, for its labels.";
    };
  };

  config = {
    arguments = {
      inherit (cfg) created source;
      revision = source.rev or "";
      groups = lib.mkOrder 1300 cfg.groups;
      layers = lib.filterAttrs (_: v: v != null) { max = cfg.maxLayers; own = cfg.ownLayer; part = cfg.partLayer; };
    };
    assertions = [
      {
        assertion = builtins.match "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}(Z|[+-][0-9]{2}:[0-9]{2})" cfg.created != null;
        message = "image.created: \"${cfg.created}\" is no time of RFC 3339, such as 2025-09-14T14:24:37Z.";
      }
      {
        assertion = level == null || levels > 0;
        message = "image.compressionLevel: what is not compressed has no level. Leave it out, or set image.compression = \"gzip\".";
      }
      {
        assertion = level == null || levels == 0 || level >= 1 && level <= levels;
        message = "image.compressionLevel: with image.compression = \"${cfg.compression}\" it is 1 to ${toString levels}, and not ${toString level}.";
      }
      {
        assertion = cfg.maxLayers == null || cfg.maxLayers <= 120;
        message = "image.maxLayers: engines take 125 layers at most, and a host may add some: 120 is the limit.";
      }
    ];
  };
}
