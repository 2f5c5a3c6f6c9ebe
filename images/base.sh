#!/bin/sh
# Makes what stands in for python:3.11-slim-bookworm where no image can be pulled: Debian's own Python, pip and venv.
# Takes root, mmdebstrap and half a minute.
#
#   images/base.sh base.tar && podman import base.tar tailrace-base
set -eu
out=$1
mmdebstrap --quiet --mode=root --variant=apt --hook-dir=/usr/share/mmdebstrap/hooks/merged-usr \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/info/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    --include=usr-is-merged,ca-certificates,python3,python3-pip,python3-venv \
    --customize-hook='ln -s python3 "$1/usr/bin/python"; rm "$1"/usr/lib/python3.*/EXTERNALLY-MANAGED' \
    bookworm "$out"
