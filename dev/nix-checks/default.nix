# What the options come to, what is said of mistakes, and that each option is documented.
# Evaluates to { counts, problems, sample, page }: problems are sentences, sample is the text of
# ../../image/testdata/sample.json, page that of ../docs/options.html. nixpkgs is a folder with its lib.
{ nixpkgs }:
let
  lib = import (nixpkgs + "/lib");
  inherit (builtins) attrNames concatMap elem filter length;
  pkgs = import ./names.nix lib // { path = nixpkgs; };
  programs = { init = pkgs.jq // { outPath = "/nix/store/00000000000000000000000000000000-init"; }; nix2vast = pkgs.jq; };
  evaluate = modules: lib.evalModules {
    modules = [ ../../modules/container.nix ] ++ modules;
    specialArgs = {
      inherit pkgs programs;
      servicesFlake = null;
      name = "sample";
      source = { lastModifiedDate = "20250914142437"; rev = "0123456789abcdef0123456789abcdef01234567"; };
    };
  };
  said = config: map (a: a.message) (filter (a: !a.assertion) config.assertions);
  has = text: lib.any (lib.hasInfix text);

  # Options as their author sees them. What alias modules leave behind is hidden.
  # What nixpkgs declares is its own to document, and `processes` is settings.processes.
  theirs = o: lib.any
    (file: lib.any (part: lib.hasInfix part (toString file)) [ "/lib/services/" "/modules/misc/" "/modules/generic/" ])
    o.declarations;
  own = filter
    (o: o.visible && !o.internal && !theirs o && o.name != "processes"
      && !lib.any (hidden: lib.hasPrefix hidden o.name) [ "_module" "arguments." ])
    (lib.optionAttrSetToDocList (evaluate [ ]).options);
  page = import ../docs/page.nix { inherit lib; options = own; root = ../..; };

  undocumented = concatMap
    (o: map (what: "the option ${o.name} has no ${what}") (
      lib.optional (o.description or null == null || o.description == "") "description"
      ++ lib.optional (!(o ? example)) "example"
      ++ lib.optional (o.type == "unspecified value") "type"
      # What has to be given in an element of a list or set has no default.
      ++ lib.optional (!(o ? default) && !lib.hasInfix "*" o.name && !lib.hasInfix "<name>" o.name) "default"
    ))
    own;

  mistakes = import ./problems.nix;
  unsaid = concatMap
    (case:
      let
        messages = said (evaluate [{ inherit (case) config; }]).config;
        of = lib.concatStringsSep ", " (attrNames case.config);
      in
      map (text: "of ${of} it is not said: ${text}\n  but: ${lib.concatStringsSep "\n  " messages}")
        (filter (text: !has text messages) case.says))
    mistakes;

  aliases = import ./aliases.nix pkgs;
  unwarned = concatMap
    (case:
      let inherit (evaluate [{ inherit (case) config; }]) config; name = lib.head (attrNames case.config);
      in lib.optional (!case.is config) "${name} does not do what ${case.now} does"
        ++ lib.optional (!lib.any (w: lib.hasInfix name w && lib.hasInfix case.now w) config.warnings)
        "${name}: ${case.now} is not named: ${toString config.warnings}")
    aliases;

  everything = (evaluate [ ./sample.nix ]).config;
  sample = builtins.toJSON { inherit (everything.plan) image; inherit (everything.plan.rootfs) rootfs; } + "\n";
  golden = builtins.readFile ../../image/testdata/sample.json;

  # Each option, at the value that it has in sample.nix, changes what the image is made of, or
  # a program of it.
  result = config: builtins.toJSON [ config.plan.image config.plan.rootfs.rootfs config.plan.push.drvPath ];
  bare = result (evaluate [ ]).config;
  settings = import ./sample.nix { inherit pkgs; };
  whole = [ [ "nixConfig" ] [ "files" ] [ "env" ] [ "settings" ] ];
  leaves = path: value:
    if lib.isAttrs value && !lib.isDerivation value && value != { } && !elem path whole && length path < 2
    then concatMap (key: leaves (path ++ [ key ]) value.${key}) (attrNames value)
    else [{ inherit path value; }];
  idle = filter (leaf: result (evaluate [ (lib.setAttrByPath leaf.path leaf.value) ]).config == bare) (leaves [ ] settings);
  # Those that are left out of sample.nix have a line below; services have tests of their own.
  unset = filter (name: !lib.hasAttrByPath (lib.take 2 (lib.splitString "." name)) settings)
    (filter
      (name: !lib.hasSuffix ".enable" name && !lib.hasInfix "<name>" name && !lib.hasInfix "*" name
        && !lib.hasPrefix "services." name && !elem name [ "ssh.allowEmptyPassword" "settings.processes" ])
      (map (o: o.name) own));

  inherit (evaluate [ ]) config;
  defaults = config.arguments;
  small = (evaluate [{
    cuda.enable = false;
    dev.enable = false;
    shell.enable = false;
    nix.enable = false;
  }]).config;
  without = (evaluate [{ ssh.enable = false; }]).config.plan;
  groups = container: map (g: g.name) container.plan.image.groups;
  expect = what: ok: lib.optional (!ok) what;
  problems = undocumented ++ unsaid ++ unwarned
    ++ map (leaf: "the option ${lib.concatStringsSep "." leaf.path} changes nothing") idle
    ++ map (name: "sample.nix does not set ${name}") unset
    ++ expect "without an option, there is something wrong: ${toString (said config)}" (said config == [ ])
    ++ expect "sample.nix has problems: ${toString (said everything)}" (said everything == [ ])
    ++ expect "the tag is ${defaults.tag}" (defaults.tag == "20250914-142437")
    ++ expect "the further tags are ${toString defaults.tags}" (defaults.tags == [ "cuda-12.8-20250914-142437" ])
    ++ expect "the groups are ${toString (groups everything)}"
      (groups everything == [ "base" "nix" "dev" "shell" "cuda" "models" "packages" ])
    ++ expect "without cuda, dev, shell and nix the groups are ${toString (groups small)}"
      (groups small == [ "base" "packages" ])
    ++ expect "without ssh the image has sshd: ${builtins.toJSON without.rootfs.rootfs.ssh}, ${builtins.toJSON without.image.config.ExposedPorts}"
      (without.rootfs.rootfs.ssh == "" && without.rootfs.rootfs.config.noSSH && without.image.config.ExposedPorts == { })
    ++ expect "the process of an instance takes no more variables"
      (said (evaluate [{ services.nginx.web.enable = true; processes.web.environment.A = "b"; }]).config == [ ])
    ++ expect "exposedPorts takes no set"
      ((evaluate [{ exposedPorts."53/udp" = { }; }]).config.arguments.exposedPorts == [ "53/udp" ])
    ++ expect "ssh.allowEmptyPassword allows nothing"
      (said (evaluate [{ ssh = { allowEmptyPassword = true; settings.PermitEmptyPasswords = true; }; }]).config == [ ])
    ++ expect "image/testdata/sample.json is not what sample.nix comes to" (sample == golden)
    ++ expect "dev/docs/options.html is not what the options say: dev/nix-eval.sh --update"
      (page == builtins.readFile ../docs/options.html)
    ++ expect "dev/docs/options.html shows paths of a store, where a defaultText or an example is missing"
      (!lib.hasInfix builtins.storeDir page);
in
{
  inherit problems sample page;
  counts = {
    options = length own;
    mistakes = length mistakes;
    aliases = length aliases;
    settings = length (leaves [ ] settings);
  };
}
