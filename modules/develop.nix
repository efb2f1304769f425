# For those who work on this repository.
{ inputs, lib, ... }:
let
  examples = import ../dev/examples.nix { inherit lib; inputs = inputs // { nix2vast = inputs.self; }; };
in
{
  perSystem = { config, pkgs, system, ... }: {
    # What make needs, beside Go's modules, a container engine, and apt for Debian's packages.
    devShells.default = pkgs.mkShell {
      packages = [
        pkgs.go
        pkgs.gcc
        pkgs.git
        pkgs.gnumake
        pkgs.jq
        pkgs.nix
        pkgs.patchelf
        (pkgs.python3.withPackages (packages: [ packages.torch ])) # gloo, over the tailnet
        pkgs.shellcheck
        # Of the tests.
        pkgs.curl
        pkgs.distribution
        pkgs.file
        pkgs.fish
        pkgs.iproute2
        pkgs.netcat-openbsd
        pkgs.nginx
        pkgs.nodejs
        pkgs.openssh
        pkgs.podman
        pkgs.postgresql
        pkgs.procps
        pkgs.redis
        pkgs.rsync
        pkgs.runc
        pkgs.skopeo
        pkgs.strace
        pkgs.util-linux
        pkgs.zsh
      ];
      CGO_ENABLED = "0";
    };
    formatter = pkgs.nixpkgs-fmt;

    checks = {
      # What options come to, and what is said of mistakes.
      options =
        let checks = import ../dev/nix-checks { nixpkgs = inputs.nixpkgs.outPath; };
        in pkgs.writeText "options" (
          if checks.problems == [ ] then builtins.toJSON checks.counts
          else throw (builtins.concatStringsSep "\n" checks.problems)
        );
      # What each service of services-flake comes to.
      services-flake =
        let
          all = (import ../dev/services { nixpkgs = inputs.nixpkgs.outPath; servicesFlake = inputs.services-flake.outPath; }).flake;
          line = name: project: builtins.deepSeq project "${name}: ${toString (builtins.attrNames project.processes)}\n";
        in
        pkgs.writeText "services-flake" (
          if builtins.length (builtins.attrNames all) < 37 then throw "services-flake has only ${toString (builtins.attrNames all)}"
          else lib.concatStrings (lib.mapAttrsToList line all)
        );
    } // lib.mapAttrs' (name: lib.nameValuePair "modular-services-${name}")
      (import ../services/compliance.nix { inherit lib pkgs; inherit (config.packages) init; })
    # Each container of an example evaluates: nothing is built for it.
    // lib.concatMapAttrs
      (_: example: lib.mapAttrs'
        (name: plan: lib.nameValuePair "example-${name}"
          (pkgs.writeText "example-${name}" (builtins.unsafeDiscardStringContext plan.drvPath)))
        (example.packages.${system} or { }))
      examples;
  };
}
