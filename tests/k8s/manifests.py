"""What `kubectl kustomize` makes of the overlays, for the tests that look at it."""

import functools
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.serving import ROOT

K8S = ROOT / "k8s"
OVERLAYS = sorted(path.parent.name for path in K8S.glob("overlays/*/kustomization.yaml"))

SECRETS = {
    "tailrace": {"secret-key"},
    "tailrace-database": {"url", "ca.crt"},
    "tailrace-postgresql": {"password", "tls.crt", "tls.key"},
    "tailrace-mlflow": {"url", "secret-key", "basic-auth.ini"},
    "tailrace-garage": {"rpc-secret", "secret-key"},
    "tailrace-keycloak": {"jdbc", "database-password", "admin-password", "client-secret"},
}
"""Those that the pages tell to make, with their keys."""

Resource = dict[str, Any]

needs_kubectl = pytest.mark.skipif(
    shutil.which("kubectl") is None and not os.environ.get("CI"),
    reason="no kubectl (1.27 or later; no cluster is needed)",
)


def build(directory: Path) -> list[Resource]:
    """What `kubectl apply -k` would send."""
    done = subprocess.run(["kubectl", "kustomize", str(directory)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


@functools.cache
def overlay(name: str) -> tuple[Resource, ...]:
    """An overlay's resources, in the order in which they are sent."""
    return tuple(build(K8S / "overlays" / name))


def named(resource: Resource) -> str:
    return f"{resource['kind']}/{resource['metadata']['name']}"


def find(name: str, kind: str, metadata_name: str) -> Resource:
    """One resource of an overlay."""
    found = [one for one in overlay(name) if named(one) == f"{kind}/{metadata_name}"]
    assert len(found) == 1, f"{name} has {[named(one) for one in overlay(name)]}"
    return found[0]


def of_kind(name: str, *kinds: str) -> list[Resource]:
    return [one for one in overlay(name) if one["kind"] in kinds]


def template(resource: Resource) -> Resource | None:
    """The pod template of a resource, if it has one."""
    spec = resource.get("spec", {})
    return spec.get("jobTemplate", {}).get("spec", spec).get("template")


def templates(name: str) -> Iterator[tuple[str, Resource]]:
    """The pod templates of an overlay, by the name of their resource."""
    for resource in overlay(name):
        found = template(resource)
        if found is not None:
            yield named(resource), found


def settings(name: str) -> dict[str, str]:
    """The environment that the server has from an overlay's ConfigMap."""
    (found,) = [one for one in of_kind(name, "ConfigMap") if "TAILRACE_BIND" in one["data"]]
    return found["data"]
