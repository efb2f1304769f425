# What init gets for services, evaluated without nixpkgs: check.sh says how. `nixpkgs` is a
# folder with nixpkgs' lib and the two modules beside this file, `servicesFlake` is
# services-flake, `init` the program and `testExe` the test of compliance.nix.
{ nixpkgs, servicesFlake ? null, init ? "", testExe ? "" }:
let
  lib = import "${nixpkgs}/lib";
  pkgs = import ./pkgs.nix { inherit lib; };
  services = ../../services;
  modular = import (services + "/modular.nix") { inherit lib pkgs; nixpkgs = /. + nixpkgs; };
  problems = import ./nixpkgs/nixos/modules/misc/assertions.nix;

  evaluate = modules: (lib.evalModules { specialArgs = { inherit pkgs; }; inherit modules; }).config;
  of = arguments: import services ({ inherit lib; } // arguments);

  # Each of our services with the module beside it.
  names = map (file: lib.removeSuffix ".nix" (baseNameOf file)) (import (services + "/list.nix"));
  texts = {
    nginx = config: { conf = config.services.nginx.web.configFile.text; };
    slurm = config: lib.mapAttrs (_: file: file.text) config.services.slurm.queue.files;
  };
  own = name:
    let config = evaluate [ (of { }) (services + "/${name}-test.nix") ]; in
    { inherit (config) processCompose; texts = (texts.${name} or (_: { })) config; };

  # Each of services-flake's, as it stands there, with what it cannot do without.
  unchanged = [ (services + "/settings.nix") ] ++ (import (servicesFlake + "/nix/services")).imports;
  needs = {
    apache-kafka = { formatLogDirs = true; settings = { }; };
    clickhouse.initialDatabases = [{ name = "d"; }];
    mysql.initialDatabases = [{ name = "d"; }];
    ollama.models = [ "m" ];
    pgadmin = { initialEmail = "a@example.org"; initialPassword = "x"; };
    phpfpm.listen = "php.sock";
    postgres.initialDatabases = [{ name = "d"; }];
  };
  enabled = service: { services.${service}."${service}1" = { enable = true; } // (needs.${service} or { }); };
  flake = builtins.removeAttrs (evaluate unchanged).services [ "outputs" ];

  # The options of one service's instances.
  options = modules: service:
    let type = (lib.evalModules { specialArgs = { inherit pkgs; }; inherit modules; }).options.services.${service}.type; in
    builtins.attrNames (builtins.removeAttrs (type.getSubOptions [ ]) [ "_module" ]);
in
{
  # { <service> = { processCompose, texts = { <file> = text; }; }; }
  own = lib.genAttrs names own;

  # { <service> = processCompose; }
  flake = lib.mapAttrs (service: _: (evaluate (unchanged ++ [ (enabled service) ])).processCompose) flake;

  # Both at once: what there is, what of ours takes fewer options than theirs, and what
  # theirs comes to when it is ours.
  both =
    let
      modules = [ (of { inherit servicesFlake; }) ];
      shared = builtins.filter (name: flake ? ${name}) names;
    in
    {
      services = builtins.attrNames (builtins.removeAttrs (evaluate modules).services [ "outputs" ]);
      inherit shared;
      missing = lib.genAttrs shared (name: lib.subtractLists (options modules name) (options unchanged name));
      processCompose = (evaluate (modules ++ map enabled shared ++ [{ services.redis.cache.enable = true; }])).processCompose;
    };

  # What modular.nix makes of the services beside it.
  modular =
    let config = evaluate [ modular problems (services + "/modular-test.nix") ]; in
    { inherit (config) modularServices warnings; assertions = builtins.filter (a: !a.assertion) config.assertions; };
  # The Ollama of a container without and with CUDA.
  gpu =
    let
      names = import ../nix-checks/names.nix lib // pkgs // {
        inherit ((import ../nix-checks/names.nix lib)) stdenv;
        path = ./imported;
        overlays = [ ];
        config = { inherit lib; };
        _cuda.lib.allowUnfreeCudaPredicate = package: package.licence == "CUDA";
        cudaPackages_12_8 = throw "the set of cuda.nix is not asked for";
      };
      command = enable: (lib.evalModules {
        modules = [ ../../modules/container.nix { cuda = { inherit enable; }; services.ollama.a.enable = true; } ];
        specialArgs = { pkgs = names; programs = { }; name = "t"; source = { }; servicesFlake = null; };
      }).config.processCompose.processes.a.command;
    in
    { without = command false; with_ = command true; };

  # See compliance.nix.
  compliance = import ./compliance.nix { inherit lib pkgs init testExe; nixpkgs = /. + nixpkgs; };

  withoutModular =
    let
      config = evaluate [
        (import (services + "/modular.nix") { inherit lib pkgs; nixpkgs = ./.; })
        problems
        { system.services.a.process.argv = [ "/a" ]; }
      ];
    in
    builtins.filter (a: !a.assertion) config.assertions;
}
