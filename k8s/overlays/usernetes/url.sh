#!/bin/sh
# Prints the address at which the nodes of a cluster reach the server that Usernetes runs: http://HOST:8080.
#
#   export TAILRACE_URL=$(k8s/overlays/usernetes/url.sh)
set -eu
node=$(kubectl get pods --namespace tailrace --selector app.kubernetes.io/name=tailrace,app.kubernetes.io/component=server \
    --field-selector status.phase=Running --output 'jsonpath={.items[0].spec.nodeName}') || node=
if [ -z "$node" ]; then
    echo "url.sh: no server runs in the namespace tailrace: see kubectl get pods --output wide --namespace tailrace" >&2
    exit 1
fi
echo "http://${node#u7s-}:8080" # Usernetes calls a node by its host's name, with u7s- before it
