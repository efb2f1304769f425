# syntax=docker/dockerfile:1
# An image that Nix builds, for people and builders without Nix. From a flake with
# nix2vast's module, whose packages.<system>.sample is an image's plan:
#
#   docker build -f Dockerfile.nix --build-arg TARGET=sample -t sample .
#
# It needs BuildKit, which Docker has from 18.09 on and uses by itself from 23 on; before
# that set DOCKER_BUILDKIT=1. The image has a layer for each COPY line; what did not change
# keeps its layer. What the plan says of environment, ports and labels does not reach a
# Dockerfile: the lines at the end are what every image of nix2vast has. Whoever has Nix
# gets the exact image, and faster, by `nix2vast image load`.

# An image with Nix, any version from 2.8 on.
ARG NIX_IMAGE=nixos/nix:2.31.2
FROM ${NIX_IMAGE} AS build
# The image's name in the flake.
ARG TARGET=sample
# The flake that has the program nix2vast.
ARG NIX2VAST=.
WORKDIR /source
COPY . .
# One command: its layer is thrown away, and hard links into the store cost nothing.
# A container that builds an image may make no namespaces, so Nix' sandbox is off.
RUN export NIX_CONFIG="experimental-features = nix-command flakes" && \
    set -- --option sandbox false --option filter-syscalls false && \
    nix build "$@" --out-link /plan ".#$TARGET" && \
    nix run "$@" "$NIX2VAST#nix2vast" -- image stage /plan --layers 16 --out /out

FROM scratch
# From what changes least to what changes most: packages, /init, the root file system.
# Those at the end are empty where the image has fewer layers.
COPY --link --from=build /out/00/ /
COPY --link --from=build /out/01/ /
COPY --link --from=build /out/02/ /
COPY --link --from=build /out/03/ /
COPY --link --from=build /out/04/ /
COPY --link --from=build /out/05/ /
COPY --link --from=build /out/06/ /
COPY --link --from=build /out/07/ /
COPY --link --from=build /out/08/ /
COPY --link --from=build /out/09/ /
COPY --link --from=build /out/10/ /
COPY --link --from=build /out/11/ /
COPY --link --from=build /out/12/ /
COPY --link --from=build /out/13/ /
COPY --link --from=build /out/14/ /
COPY --link --from=build /out/15/ /
ENV LANG="C.UTF-8" \
    NVIDIA_DRIVER_CAPABILITIES="compute,utility" \
    NVIDIA_VISIBLE_DEVICES="all" \
    PATH="/run/nix2vast/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" \
    SSL_CERT_FILE="/etc/ssl/certs/ca-certificates.crt" \
    TERMINFO_DIRS="/usr/share/terminfo"
EXPOSE 22/tcp
WORKDIR /root
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s CMD ["/bin/init", "status"]
ENTRYPOINT ["/init"]
