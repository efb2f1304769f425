{ config, lib, ... }:
let
  cfg = config.gpu;
in
{
  options.gpu = {
    mode = lib.mkOption {
      type = lib.types.enum [ "auto" "require" "off" ];
      default = "auto";
      example = "require";
      description = ''
        auto: a GPU is used where one is. require: without one the box is degraded. off: the driver is left alone.
      '';
    };
    wait = lib.mkOption {
      type = lib.types.strMatching "[0-9]+(ms|s|m)";
      default = "10s";
      example = "30s";
      description = "The longest wait for a driver that a host is still bringing in.";
    };
    capabilities = lib.mkOption {
      type = lib.types.listOf (lib.types.enum [ "compute" "utility" "graphics" "video" "display" "ngx" "compat32" "all" ]);
      default = [ "compute" "utility" ];
      example = [ "compute" "utility" "video" ];
      description = "Which parts of the driver the host is asked for: NVIDIA_DRIVER_CAPABILITIES.";
    };
    requires = lib.mkOption {
      type = lib.types.nullOr lib.types.str;
      default = null;
      example = "cuda>=12.8";
      description = ''
        What the driver has to be able to do: NVIDIA_REQUIRE_CUDA. A host with an older one then refuses to start the
        container, where it would otherwise boot and say what is wrong.
      '';
    };
    glibcCache = lib.mkOption {
      type = lib.types.bool;
      default = true;
      example = false;
      description = "Whether the image's glibc reads the library cache of the box, so that all programs find the driver.";
    };
    searchDirs = lib.mkOption {
      type = lib.types.listOf (lib.types.strMatching "/[^:]+");
      default = [ ];
      example = [ "/opt/driver/lib" ];
      description = "Further directories in which the driver's libraries are looked for, in front of the known ones.";
    };
  };

  config.arguments.env = lib.mkMerge [
    (lib.mkIf (cfg.mode != "auto") { NIX2VAST_GPU = cfg.mode; })
    (lib.mkIf (cfg.wait != "10s") { NIX2VAST_GPU_WAIT = cfg.wait; })
    (lib.mkIf (cfg.capabilities != [ "compute" "utility" ]) {
      NVIDIA_DRIVER_CAPABILITIES = lib.concatStringsSep "," cfg.capabilities;
    })
    (lib.mkIf (cfg.requires != null) { NVIDIA_REQUIRE_CUDA = cfg.requires; })
    (lib.mkIf (!cfg.glibcCache) { NIX2VAST_GLIBC_CACHE = "0"; })
    (lib.mkIf (cfg.searchDirs != [ ]) { NIX2VAST_GPU_DIRS = lib.concatStringsSep ":" cfg.searchDirs; })
  ];
}
