# init, the file that becomes PID 1, and nix2vast, the program of the image's author.
{ pkgs, source }:
let
  version = builtins.substring 0 8 (source.lastModifiedDate or "19700101");
  build = attrs: (pkgs.buildGo126Module or pkgs.buildGoModule) ({
    inherit version;
    src = source;
    vendorHash = import ./vendor-hash.nix;
    env.CGO_ENABLED = "0";
    doCheck = false; # make test needs a container engine
    dontFixup = true;
  } // attrs);
in
{
  # One file: what is attached to what is in the Makefile.
  init = build {
    pname = "init";
    buildPhase = ''
      runHook preBuild
      go build -ldflags '-s -w' -o build/programs/exporter ./cmd/exporter
      go build -tags "$(cat cmd/tailnet/tags)" -ldflags '-s -w' -o build/programs/tailnet ./cmd/tailnet
      go build -ldflags '-s -w -X main.version=${version}' -o build/programs/init ./cmd/init
      env -u GOARCH go run ./dev/attach build/init build/programs/init build/programs/exporter build/programs/tailnet
      runHook postBuild
    '';
    installPhase = ''install -m 755 build/init "$out"'';
    meta.description = "The program that becomes PID 1 of a rented box";
  };

  nix2vast = build {
    pname = "nix2vast";
    subPackages = [ "cmd/nix2vast" ];
    ldflags = [ "-s" "-w" "-X main.version=${version}" ];
    meta = {
      description = "Containers that Nix built, for rented GPUs";
      mainProgram = "nix2vast";
    };
  };
}
