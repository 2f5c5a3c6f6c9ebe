#!/bin/sh
# Builds the images `tailrace` (the server) and `tailrace-client` (LAMMPS, job scripts, client), with podman or docker.
#
#   images/build.sh [server] [client]      both, unless one is named
#
# ENGINE says which of podman and docker, BASE another image to build on. Where the usual base can't be had, one is made
# of Debian's packages (base.sh). pip and npm in the build go where they go here, and trust whom this machine trusts:
# their settings and the machine's certificates are lent to the build as secrets, and no image holds them.
set -eu
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- server client
for which; do
    case $which in
        server | client) ;;
        *) echo "images/build.sh: there is no image $which: expected server or client" >&2 && exit 2 ;;
    esac
done
engine=${ENGINE:-$(command -v podman || command -v docker)} || {
    echo "images/build.sh: neither podman nor docker is here: install one (Debian: apt-get install podman)" >&2
    exit 1
}
base=${BASE:-docker.io/library/python:3.11-slim-bookworm}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

if [ -z "${BASE:-}" ] && ! "$engine" image inspect "$base" >"$scratch/said" 2>&1 && ! "$engine" pull --quiet "$base" >"$scratch/said" 2>&1; then
    base=localhost/tailrace-base:bookworm
    if ! "$engine" image inspect "$base" >/dev/null 2>&1; then
        echo "The usual base can't be had ($(tail -n 1 "$scratch/said")): making one of Debian's packages ..."
        images/base.sh "$scratch/base.tar"
        "$engine" import "$scratch/base.tar" "$base" >/dev/null
    fi
fi

{
    echo "[global]"
    python3 -m pip config list 2>/dev/null |
        sed -n "/file:/d; s/^[^.]*\.\(index-url\|extra-index-url\|trusted-host\|proxy\|default-timeout\)='\(.*\)'\$/\1 = \2/p"
} >"$scratch/pip.conf"
{
    [ -z "${npm_config_registry:-}" ] || echo "registry=$npm_config_registry"
    sed -n '/^ *\(registry\|proxy\|https-proxy\|noproxy\|\/\/[^ ]*\) *=/p' "${NPM_CONFIG_USERCONFIG:-$HOME/.npmrc}" 2>/dev/null || true
} >"$scratch/npmrc"
lent="--secret id=pip,src=$scratch/pip.conf --secret id=npm,src=$scratch/npmrc"
authorities=${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}
[ ! -e "$authorities" ] || lent="$lent --secret id=authorities,src=$authorities"
case $("$engine" --version) in podman*) lent="$lent --format docker" ;; esac # the other format has no HEALTHCHECK

version=$(sed -n 's/^__version__ = "\(.*\)"/\1/p' client/tailrace/version.py)
revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)
for which; do
    case $which in
        server) file=Dockerfile name=tailrace ;;
        client) file=Dockerfile.client name=tailrace-client ;;
    esac
    # shellcheck disable=SC2086 # its options are words of their own
    DOCKER_BUILDKIT=1 "$engine" build $lent --build-arg BASE="$base" --build-arg VERSION="$version" \
        --build-arg REVISION="$revision" --file "$file" --tag "$name:latest" --tag "$name:$version" .
done
