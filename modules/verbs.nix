# The programs of an image: `nix run .#sample.copyToGithub` and the others. Each is one line
# that gives the plan to nix2vast.
{ config, pkgs, plan, programs }:
let
  # nixpkgs' writeShellScriptBin is this and more; every package set has bash and coreutils.
  script = name: description: line:
    (derivation {
      inherit name;
      system = pkgs.stdenv.buildPlatform.system or pkgs.stdenv.hostPlatform.system;
      builder = "${pkgs.bash}/bin/bash";
      # The last word is the shell's: Nix kills a builder whose output is closed, and chmod closes its
      # own before it ends.
      args = [ "-euc" ''"$mkdir" -p "$out/bin"; printf %s "$text" >"$out/bin/$name"; "$chmod" 755 "$out/bin/$name"; exit 0'' ];
      mkdir = "${pkgs.coreutils}/bin/mkdir";
      chmod = "${pkgs.coreutils}/bin/chmod";
      text = ''
        #!${pkgs.bash}/bin/bash
        exec ${programs.nix2vast}/bin/nix2vast image ${line}
      '';
    }) // {
      meta = {
        inherit description;
        mainProgram = name;
      };
    };
  verb = word: more: description: script "${config.name}-${word}" description "${more} \"$@\"";
  inherit (config) name;

  # The options are in front, so that destinations may follow.
  push = word: options: verb word "push --compression ${config.image.compression} ${level}${options}${plan}";
  level =
    if config.image.compressionLevel == null then ""
    else "--compression-level ${toString config.image.compressionLevel} ";
  registry = push "push" "" "Send ${name} to its registries";
  github = push "push-github" "--only ghcr.io " "Send ${name} to GitHub's registry";
  load = verb "load" "load ${plan}" "Give ${name} to docker or podman";
in
{
  inherit load;
  imageRef = "${config.name}:${config.tag}"; # what engines call it
  push = registry;
  copyToRegistry = registry;
  copyToGithub = github;
  copyToGIthub = github; # as the first page of the project spelt it
  copyToContainerRuntime = load;
  copyToDockerDaemon = verb "load-docker" "load --runtime docker ${plan}" "Give ${name} to docker";
  copyToPodman = verb "load-podman" "load --runtime podman ${plan}" "Give ${name} to podman";
  toOci = verb "oci" "oci ${plan}" "Write ${name} as an OCI image layout";
  toDockerArchive = verb "archive" "archive ${plan}" "Write ${name} as an archive for docker load";
  inspect = verb "inspect" "inspect ${plan}" "List the layers of ${name}";
  run = verb "run" "run ${plan}" "Start ${name} as a host would";
  shell = verb "shell" "shell ${plan}" "Be in a container of ${name}";
}
