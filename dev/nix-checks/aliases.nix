# Options of nix2gpu: what they are called here, and that they still do what they did.
pkgs: [
  { config.systemPackages = [ pkgs.jq ]; is = config: config.packages == [ pkgs.jq ]; now = "packages"; }
  { config.registry = "ghcr.io/owner"; is = config: config.registries == [ "ghcr.io/owner" ]; now = "registries"; }
  { config.extraEnv.A = "b"; is = config: config.env == { A = "b"; }; now = "env"; }
  { config.extraLabels.a = "b"; is = config: config.labels == { a = "b"; }; now = "labels"; }
  { config.extraStartupScript = "true"; is = config: config.hooks.preServices == "true"; now = "hooks.preServices"; }
  { config.maxLayers = 50; is = config: config.image.maxLayers == 50; now = "image.maxLayers"; }
]
