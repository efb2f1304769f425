# nixpkgs' testers.modularServiceCompliance with our init as the service manager: its
# derivations, by name. It is where that nixpkgs has the tester, and { } elsewhere.
#
# `init` is the program. Services run under it in the build, as PID 1 of a namespace of
# their own, and the test beside them is the program whose end ends the box, as with docker
# run.
{ lib, pkgs, init, nixpkgs ? pkgs.path }:
let
  evaluate = services: (lib.evalModules {
    modules = [
      (import ./modular.nix { inherit lib pkgs nixpkgs; })
      ../modules/problems.nix
      { system = { inherit services; }; }
    ];
  }).config;

  file = name: config: pkgs.writeText "${name}.json" (builtins.toJSON config);

  sharedDir = "/tmp/modular-service-compliance";
  suite = arguments: pkgs.testers.modularServiceCompliance
    (builtins.intersectAttrs (lib.functionArgs pkgs.testers.modularServiceCompliance) arguments);
in
lib.optionalAttrs (pkgs ? testers.modularServiceCompliance) (suite {
  namePrefix = "nix2vast-compliance";
  inherit sharedDir;

  evalConfig = { services }:
    let config = evaluate services; in
    {
      config = config.system.services;
      checkDrv = pkgs.runCommand "nix2vast-compliance-services" { } ''
        ${init} check ${file "services" config.modularServices}
        touch "$out"
      '';
    };

  # A newer tester asks for the reload of a service, by its place in the tree.
  callReload = path: "${init} reload ${lib.escapeShellArg (lib.concatStringsSep "." path)}";

  mkTest = { name, services, testExe }:
    let
      config = file name {
        version = 1;
        inherit ((evaluate services)) modularServices;
        services.compliance-tester = { ExecStart = [ testExe ]; Restart = "no"; Essential = true; };
      };
    in
    pkgs.runCommand name { nativeBuildInputs = [ pkgs.util-linux ]; } ''
      rm -rf ${sharedDir}
      unshare --user --map-root-user --pid --mount-proc --fork --kill-child -- ${init} --supervise ${config}
      touch "$out"
    '';
})
