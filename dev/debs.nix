# A package set for the demo and the tests, where neither nixpkgs nor a binary
# cache can be reached: real store paths with real references, made from
# Debian's own .deb files (debs.sh). Packages have their names in nixpkgs, and
# what ../image asks of stdenv is here too, so that either set makes an image.
{ debs, system ? builtins.currentSystem }:
let
  inherit (builtins) attrNames concatMap elem elemAt filter head listToAttrs map mapAttrs match replaceStrings;
  index = builtins.fromJSON (builtins.readFile (debs + "/index.json"));

  platform = {
    x86_64-linux = { triplet = "x86_64-linux-gnu"; loader = "ld-linux-x86-64.so.2"; GOARCH = "amd64"; };
    aarch64-linux = { triplet = "aarch64-linux-gnu"; loader = "ld-linux-aarch64.so.1"; GOARCH = "arm64"; };
  }.${system};

  clean = replaceStrings [ "+" ":" "~" ] [ "p" "." "." ];
  upstream = deb: clean (elemAt (match "([0-9]+:)?([^-]*).*" index.debs.${deb}.version) 1);
  nameValue = name: value: { inherit name value; };

  busybox = builtins.path { path = debs + "/busybox"; name = "busybox"; };
  unpack = name: packages: more: derivation ({
    inherit name system;
    inherit (platform) triplet loader;
    builder = "${busybox}/bin/busybox";
    args = [ "sh" ./unpack.sh ];
    debs = map (deb: builtins.path { path = debs + "/${index.debs.${deb}.file}"; name = "${clean deb}.deb"; }) packages;
  } // more);

  # The tools that edit what the others unpack, run through their own loader.
  tools = unpack "tools" [ "patchelf" "sed" "libstdc++6" "libgcc-s1" "libacl1" "libselinux1" "libpcre2-8-0" "libc6" ] { };

  package = name: members: unpack "${clean name}-${upstream (head members)}" members {
    inherit tools;
    interpreter = if name == "glibc" then "" else loader;
    libraries = map (lib: "${providers.${lib}}/lib") (filter (isLibraryFor members) (concatMap (deb: index.debs.${deb}.libs) members));
    # nixpkgs' packages have these names, Debian makes them when it installs.
    aliases = { bash = [ "sh=bash" ]; gawk = [ "awk=gawk" ]; }.${name} or [ ];
  };
  # What needs no library itself holds none: gcc-12-base, libtirpc-common …
  isLibraryFor = members: lib: index.debs.${lib}.libs != [ ] && !elem lib members;

  packages = mapAttrs package index.packages;
  libraries = mapAttrs (deb: _: package deb [ deb ]) index.debs;
  providers = libraries // listToAttrs (concatMap (name: map (deb: nameValue deb packages.${name}) index.packages.${name}) (attrNames packages));
  loader = "${packages.glibc}/lib/${platform.loader}";
in
packages // {
  glibc = packages.glibc // { bin = packages.glibc; };
  zlib = libraries.zlib1g;

  stdenv = {
    hostPlatform = { inherit system; go = { inherit (platform) GOARCH; }; };
    cc = { bintools.dynamicLinker = loader; cc.lib = packages.gcc-lib; };
  };
}
