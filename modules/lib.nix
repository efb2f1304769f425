# For those who use the options without flake-parts.
{ lib, nix2vast }:
rec {
  # evalContainer evaluates modules with the options of perSystem.nix2vast.<name>. Its
  # config.plan is what packages.<name> of a flake is.
  evalContainer = { pkgs, modules, name ? "sample", source ? { }, servicesFlake ? null }:
    lib.evalModules {
      modules = [ ./container.nix ] ++ modules;
      specialArgs = {
        inherit name source servicesFlake;
        pkgs = import ./pkgs.nix pkgs;
        programs = nix2vast.packages.${pkgs.stdenv.hostPlatform.system};
      };
      prefix = [ "nix2vast" name ];
    };

  # multiService makes of a file like those of ../services a module with services.<file>.<instance>.
  multiService = import ../services/multi.nix;

  # mkImage is the plan of such a container.
  mkImage = arguments: (evalContainer arguments).config.plan;
}
