{ config, lib, pkgs, ... }:
let
  cfg = config.cuda;
  set = "cudaPackages_${builtins.replaceStrings [ "." ] [ "_" ] cfg.version}";
  known = map (lib.removePrefix "cudaPackages_")
    (builtins.filter (name: builtins.match "cudaPackages_[0-9]+_[0-9]+" name != null) (builtins.attrNames pkgs));
  components = map (name: cfg.packages.${name}) cfg.components;
  toolkit = cfg.packages.cudatoolkit;
in
{
  options.cuda = {
    enable = lib.mkOption {
      type = lib.types.bool;
      default = true;
      example = false;
      description = "Whether CUDA's libraries are in the image. The driver never is: it is the host's.";
    };
    version = lib.mkOption {
      type = lib.types.str;
      default = "12.8";
      example = "12.9";
      description = "Which CUDA: the two numbers of a cudaPackages of nixpkgs.";
    };
    packages = lib.mkOption {
      type = lib.types.lazyAttrsOf lib.types.raw;
      default = pkgs.${set};
      defaultText = lib.literalExpression "pkgs.cudaPackages_12_8";
      example = lib.literalExpression "pkgs.cudaPackages_12_8.overrideScope (final: prev: { cudnn = prev.cudnn; })";
      description = "The set that components are taken from.";
    };
    components = lib.mkOption {
      type = lib.types.listOf lib.types.str;
      default = [ "cuda_cudart" "libcublas" "cudnn" "nccl" ];
      example = [ "cuda_cudart" "libcublas" "libcufft" ];
      description = "Which libraries, by their names in the set. Only what is needed when programs run.";
    };
    toolkit = lib.mkOption {
      type = lib.types.bool;
      default = false;
      example = true;
      description = "Whether the whole toolkit is there: nvcc, headers, and some gigabytes.";
    };
  };

  config = lib.mkIf cfg.enable {
    arguments = {
      # Programs that Nix built name the libraries that they need; these are for the others.
      groups = lib.mkOrder 1100 [{
        name = "cuda";
        foreign = components;
        packages = lib.optional cfg.toolkit toolkit;
      }];
      env = lib.mkIf cfg.toolkit {
        CUDA_HOME = lib.mkDefault "${toolkit}";
        CUDA_PATH = lib.mkDefault "${toolkit}";
      };
    };
    assertions = [{
      assertion = pkgs ? ${set};
      message = "cuda.version: this nixpkgs has no CUDA ${cfg.version}. It has "
        + "${lib.concatStringsSep ", " (map (builtins.replaceStrings [ "_" ] [ "." ]) known)}; "
        + "take one of them, or another nixpkgs.";
    }] ++ map
      (name: {
        assertion = !(pkgs ? ${set}) || cfg.packages ? ${name};
        message = "cuda.components: CUDA ${cfg.version} has no \"${name}\". Names are those of pkgs.${set}; "
          + "the usual ones are cuda_cudart, libcublas, libcufft, libcurand, libcusolver, libcusparse, cudnn and nccl.";
      })
      cfg.components;
  };
}
