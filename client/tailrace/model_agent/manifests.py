"""Manifests that run a service on Kubernetes: Deployment, Service and NetworkPolicy."""

from __future__ import annotations

import json
import re
from typing import Any

from tailrace.errors import Unusable
from tailrace.model_agent.settings import IMAGE

__all__ = ["manifests"]

NAME = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")


def manifests(
    name: str,
    image: str,
    *,
    namespace: str = "tailrace",
    port: int = 8080,
    memory_mb: int = 1024,
    cpus: float = 1.0,
    replicas: int = 1,
) -> str:
    """Return the manifests of a service, as YAML documents in JSON's notation.

    Its pods have no way out, no rights, no token of the cluster, and a read-only root file system. Only pods of the namespace that are
    labeled ``app.kubernetes.io/part-of: tailrace`` reach it.

    Raises
    ------
    Unusable
        If the name isn't one that Kubernetes takes, the image isn't named by its digest, or a limit isn't above 0.
    """
    for what, text in (("the name", name), ("the namespace", namespace)):
        if not NAME.fullmatch(text):
            raise Unusable(f"{what} is {text!r}: expected at most 63 of a-z, 0-9 and '-', starting with a letter")
    if not IMAGE.fullmatch(image) or "@" not in image:
        raise Unusable(f"the image is {image!r}: expected NAME@sha256:…, an image by its digest")
    if memory_mb <= 0 or cpus < 0.001 or replicas < 0 or not 1 <= port <= 65535:
        raise Unusable("expected a port from 1 to 65535, and memory and CPUs above 0")
    labels = {
        "app.kubernetes.io/name": name,
        "app.kubernetes.io/component": "service",
        "app.kubernetes.io/part-of": "tailrace",
    }
    selector = {key: labels[key] for key in ("app.kubernetes.io/name", "app.kubernetes.io/component")}
    metadata = {"name": name, "namespace": namespace, "labels": labels}
    found: list[dict[str, Any]] = [
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": metadata,
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": selector},
                "template": {"metadata": {"labels": labels}, "spec": _pod(name, image, port, memory_mb, cpus)},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata,
            "spec": {"selector": selector, "ports": [{"name": "http", "port": port, "targetPort": "http"}]},
        },
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": metadata,
            "spec": {
                "podSelector": {"matchLabels": selector},
                "policyTypes": ["Ingress", "Egress"],
                "ingress": [
                    {
                        "from": [{"podSelector": {"matchLabels": {"app.kubernetes.io/part-of": "tailrace"}}}],
                        "ports": [{"port": "http", "protocol": "TCP"}],
                    }
                ],
                "egress": [],
            },
        },
    ]
    return "".join(f"---\n{json.dumps(one, indent=2)}\n" for one in found)


def _pod(name: str, image: str, port: int, memory_mb: int, cpus: float) -> dict[str, Any]:
    amounts = {"memory": f"{memory_mb}Mi", "cpu": f"{round(cpus * 1000)}m"}

    def probe(period: int, failures: int) -> dict[str, Any]:
        return {
            "httpGet": {"path": "/ping", "port": "http"},
            "periodSeconds": period,
            "timeoutSeconds": 5,
            "failureThreshold": failures,
        }

    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 1000,
            "runAsGroup": 1000,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [
            {
                "name": name,
                "image": image,
                "ports": [{"name": "http", "containerPort": port}],
                "resources": {"limits": amounts, "requests": amounts},
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                },
                "startupProbe": probe(2, 60),
                "readinessProbe": probe(5, 2),
                "livenessProbe": probe(20, 3),
                "volumeMounts": [{"name": "scratch", "mountPath": "/tmp"}],  # noqa: S108 - within the container
            }
        ],
        "volumes": [{"name": "scratch", "emptyDir": {"medium": "Memory", "sizeLimit": "64Mi"}}],
    }
