"""What `podman kube play` 4.3 can take of a Kubernetes overlay, and what stands for the rest.

It knows neither StatefulSets nor Services, runs no probes, and panics at volumes that are Secrets; what it makes of an
``emptyDir`` is one volume of that name, shared by all pods. So of every Deployment and StatefulSet as many Pods are made as
it is to have; an ``emptyDir`` and a volume from a Secret or a ConfigMap is a directory that is made here, with the modes and
the group that the manifest says; and a Service is a name that every pod knows the addresses of.
Everything else, security context and limits among it, is the manifest's.
"""

import base64
import copy
import os
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Resource = dict[str, Any]

STACK = "tailrace.stack"
"""The label of all pods that belong together."""


class NotPlayable(Exception):
    """The manifests ask for something that neither Podman nor what stands for it here can do; the message says what."""


@dataclass
class Pod:
    """One pod, as `podman kube play` takes it, with what it can't be told."""

    name: str
    manifest: list[Resource]
    services: list[str]
    probes: dict[str, list[Resource]] = field(default_factory=dict)
    """By container: those that tell whether it is ready."""

    @property
    def containers(self) -> list[str]:
        """Their names in Podman."""
        return [f"{self.name}-{one['name']}" for one in self.manifest[-1]["spec"]["containers"]]


def secret_data(resource: Resource) -> dict[str, bytes]:
    """What a Secret or a ConfigMap holds, by key."""
    found = {key: value.encode() for key, value in resource.get("stringData", {}).items()}
    if resource["kind"] == "ConfigMap":
        return found | {key: value.encode() for key, value in resource.get("data", {}).items()}
    return found | {key: base64.b64decode(value) for key, value in resource.get("data", {}).items()}


class Translator:
    """Makes pods of an overlay.

    Parameters
    ----------
    stack
        What the names of all that is made begin with.
    resources
        The overlay's, and the Secrets that it refers to.
    images
        What stands for an image, by its name in the manifest, with its tag or without.
    directory
        Where volumes from Secrets and ConfigMaps are written.
    """

    def __init__(self, stack: str, resources: Iterable[Resource], images: Mapping[str, str], directory: Path) -> None:
        self.stack, self.images, self.directory = stack, images, directory
        self.resources = list(resources)

    def pods(self) -> list[Pod]:
        """All that run on and on; Jobs and CronJobs are left to their hour."""
        return [
            self._pod(resource["metadata"]["name"], resource["spec"], number)
            for resource in self.resources
            if resource["kind"] in ("StatefulSet", "Deployment")
            for number in range(self._replicas(resource))
        ]

    def once(self, cron_job: str) -> Pod:
        """What a CronJob starts at its hour."""
        return self._pod(cron_job, self.find("CronJob", cron_job)["spec"]["jobTemplate"]["spec"], 0)

    def find(self, kind: str, name: str) -> Resource:
        """One of the resources.

        Raises
        ------
        NotPlayable
            If it isn't there.
        """
        for resource in self.resources:
            if resource["kind"] == kind and resource["metadata"]["name"] == name:
                return resource
        raise NotPlayable(f"{kind} {name} is referred to and not there")

    def _replicas(self, resource: Resource) -> int:
        for one in self.resources:
            if one["kind"] == "HorizontalPodAutoscaler":
                target = one["spec"]["scaleTargetRef"]
                if (target["kind"], target["name"]) == (resource["kind"], resource["metadata"]["name"]):
                    return one["spec"]["minReplicas"]
        return resource["spec"].get("replicas", 1)

    def _pod(self, of: str, owner: Resource, number: int) -> Pod:
        template = copy.deepcopy(owner["template"])
        name = f"{self.stack}-{of}-{number}"
        labels, spec = template["metadata"]["labels"], template["spec"]
        claims = [
            {
                "name": one["metadata"]["name"],
                "persistentVolumeClaim": {"claimName": f"{one['metadata']['name']}-{number}"},
            }
            for one in owner.get("volumeClaimTemplates", [])
        ]
        group = spec.get("securityContext", {}).get("fsGroup")
        volumes = [self._volume(one, name, group) for one in [*spec.get("volumes", []), *claims]]
        renamed = {
            old["name"]: new["name"] for old, new in zip([*spec.get("volumes", []), *claims], volumes, strict=True)
        }
        shared = spec.get("securityContext", {})
        containers = [self._container(one, renamed, shared) for one in spec["containers"]]
        needed = {
            one["configMapRef"]["name"] for box in containers for one in box.get("envFrom", []) if "configMapRef" in one
        }
        return Pod(
            name=name,
            manifest=[
                *(self._plain(self.find("ConfigMap", one)) for one in sorted(needed)),
                {
                    "apiVersion": "v1",
                    "kind": "Pod",
                    "metadata": {"name": name, "labels": labels | {STACK: self.stack}},
                    "spec": {
                        "restartPolicy": spec.get("restartPolicy", "Always"),
                        "terminationGracePeriodSeconds": spec.get("terminationGracePeriodSeconds", 30),
                        "containers": containers,
                        "volumes": volumes,
                    },
                },
            ],
            services=[
                one["metadata"]["name"]
                for one in self.resources
                if one["kind"] == "Service" and one["spec"]["selector"].items() <= labels.items()
            ],
            probes={
                f"{name}-{one['name']}": [one[kind] for kind in ("startupProbe", "readinessProbe") if kind in one]
                for one in spec["containers"]
            },
        )

    def _container(self, container: Resource, renamed: Mapping[str, str], shared: Resource) -> Resource:
        made = {
            key: value
            for key, value in container.items()
            if key not in ("startupProbe", "readinessProbe", "livenessProbe", "lifecycle", "ports")
        }
        # A container's own context replaces the pod's in Podman; in Kubernetes it adds to it.
        inherited = {key: shared[key] for key in ("runAsUser", "runAsGroup", "runAsNonRoot") if key in shared}
        made["securityContext"] = inherited | container.get("securityContext", {})
        made["volumeMounts"] = [one | {"name": renamed[one["name"]]} for one in container.get("volumeMounts", [])]
        name = container["image"].rpartition(":")[0]
        made["image"] = self.images.get(container["image"], self.images.get(name, container["image"]))
        for variable in made.get("env", []):
            reference = variable.get("valueFrom", {}).get("secretKeyRef")
            if reference:
                if reference["key"] not in secret_data(self.find("Secret", reference["name"])):
                    raise NotPlayable(f"Secret {reference['name']} has no {reference['key']}")
                reference["name"] = f"{self.stack}-{reference['name']}"
        return made

    def _volume(self, volume: Resource, pod: str, group: int | None) -> Resource:
        name = f"{pod}-{volume['name']}"
        if "persistentVolumeClaim" in volume:
            claim = f"{self.stack}-{volume['persistentVolumeClaim']['claimName']}"
            return {"name": claim, "persistentVolumeClaim": {"claimName": claim}}
        if "emptyDir" in volume:
            path = self._empty(name)
            if group is not None:
                _give(path, group)
            path.chmod(0o2777)
            return {"name": name, "hostPath": {"path": str(path), "type": "Directory"}}
        for kind, key, what in (("Secret", "secret", "secretName"), ("ConfigMap", "configMap", "name")):
            if key in volume:
                source = self.find(kind, volume[key][what])
                path = self._written(name, secret_data(source), volume[key], group, source)
                return {"name": name, "hostPath": {"path": str(path), "type": "Directory"}}
        raise NotPlayable(
            f"volume {volume['name']} of {pod}: {sorted(volume.keys() - {'name'})} is no volume that is known here"
        )

    def _written(
        self, name: str, data: dict[str, bytes], volume: Resource, group: int | None, source: Resource
    ) -> Path:
        """A directory with what a Secret or ConfigMap holds, as a pod sees it."""
        directory = self._empty(name)
        for key, target in {
            one["key"]: one["path"] for one in volume.get("items", [{"key": k, "path": k} for k in data])
        }.items():
            if key not in data:
                raise NotPlayable(f"{source['kind']} {source['metadata']['name']} has no {key}")
            path = directory / target
            path.touch(mode=0o600)
            path.write_bytes(data[key])
            if group is not None:
                _give(path, group)
            path.chmod(volume.get("defaultMode", 0o644))
        return directory

    def _empty(self, name: str) -> Path:
        directory = self.directory / name
        remove(directory)
        directory.mkdir(parents=True)
        return directory

    def _plain(self, config_map: Resource) -> Resource:
        return {key: config_map[key] for key in ("apiVersion", "kind", "data")} | {
            "metadata": {"name": config_map["metadata"]["name"]}
        }


def remove(directory: Path) -> None:
    """With what containers wrote there, under whatever user."""
    if directory.exists():
        _as_containers_see_it("rm", "-r", str(directory))


def _give(path: Path, group: int) -> None:
    _as_containers_see_it("chown", f"0:{group}", str(path))


def _as_containers_see_it(*command: str) -> None:
    """As root, or, for whom Podman runs without, as root of the user's namespace."""
    subprocess.run([*([] if os.geteuid() == 0 else ["podman", "unshare"]), *command], check=True)
