# The module of flake-parts that a user imports: perSystem.nix2vast.<name> is a container,
# of which packages.<name> is the plan, apps.<name>-… bring it somewhere, and checks.<name>
# makes the plan.
{ nix2vast }:
{ lib, self, inputs, flake-parts-lib, ... }:
{
  options.perSystem = flake-parts-lib.mkPerSystemOption ({ config, pkgs, system, ... }: {
    options.nix2vast = lib.mkOption {
      type = lib.types.lazyAttrsOf (import ./type.nix {
        inherit lib pkgs;
        programs = nix2vast.packages.${system};
        source = self;
        servicesFlake = inputs.services-flake or null;
      });
      default = { };
      example = lib.literalExpression "{ sample = { }; }";
      description = "Containers by name.";
    };

    config = {
      packages = lib.mapAttrs (_: container: container.plan) config.nix2vast;
      checks = lib.mapAttrs (_: container: container.plan) config.nix2vast;
      apps = lib.concatMapAttrs
        (name: container: lib.mapAttrs'
          (verb: program: lib.nameValuePair "${name}-${verb}" {
            type = "app";
            program = lib.getExe program;
            meta.description = program.meta.description;
          })
          { inherit (container.plan) load push run shell; })
        config.nix2vast;
    };
  });
}
