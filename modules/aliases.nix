# Names of options that users of nix2gpu know. Each still does what it did, and says what it
# is called here.
{ lib, ... }:
let
  renamed = from: to: lib.mkRenamedOptionModule [ from ] to;
  removed = from: lib.mkRemovedOptionModule from;
in
{
  imports = [
    (renamed "systemPackages" [ "packages" ])
    (renamed "extraEnv" [ "env" ])
    (renamed "extraLabels" [ "labels" ])
    (renamed "extraStartupScript" [ "hooks" "preServices" ])
    (renamed "maxLayers" [ "image" "maxLayers" ])
    (lib.mkChangedOptionModule [ "registry" ] [ "registries" ] (config: [ config.registry ]))
    (removed [ "sshdConfig" ]
      "Set single values by ssh.settings, such as ssh.settings.MaxSessions = 50; init writes the rest.")
    (removed [ "copyToRoot" ] ("Name each file by files.\"/path\".source, and each link by links.\"/path\"; "
      + "programs on PATH are packages."))
    (removed [ "age" ] ("Nothing is decrypted in a box: a secret is a file that it gets when it is started, which services "
      + "and variables name; see examples/secrets."))
    (removed [ "nimiSettings" ]
      "What a service does when it ends is said by the service; see processes and system.services.")
    (removed [ "tailscale" "authKey" ] ("A key in an option would be in the Nix store and in the image, for all to read. "
      + "Set TAILSCALE_AUTHKEY where the container is started."))
  ];
}
