# services/compliance.nix with something of the shape of nixpkgs' tester, which is not at
# hand: what a test of it is in a build, as lines for bash and the file that they name.
{ lib, pkgs, nixpkgs, init, testExe }:
let
  tester = { evalConfig, mkTest, sharedDir, callReload, namePrefix }: {
    evaluated =
      let result = evalConfig { services.svc = { process.argv = [ "/bin/true" ]; services.child.process.argv = [ "/bin/a" "b" ]; }; }; in
      { inherit (result.config.svc.services.child.process) argv; lines = result.checkDrv; };
    run = mkTest {
      name = "${namePrefix}-run";
      services.a = { process.argv = [ "/bin/sleep" "infinity" ]; services.b.process.argv = [ "/bin/sleep" "infinity" ]; };
      inherit testExe;
    };
    reload = callReload [ "a" "b" ];
  };
in
import ../../services/compliance.nix {
  inherit lib nixpkgs init;
  pkgs = pkgs // {
    testers.modularServiceCompliance = tester;
    writeText = name: text: builtins.toFile name text;
    runCommand = _: _: lines: lines;
  };
}
