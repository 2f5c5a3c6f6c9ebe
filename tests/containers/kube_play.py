"""Runs an overlay of ``k8s/`` with Podman alone, for tests and for a look at it without a cluster.

    python -m tests.containers.kube_play up local --secrets secrets.yaml --publish 127.0.0.1:8080
    python -m tests.containers.kube_play down local

``up`` ends when every pod is ready by the probes of its manifest, or says which isn't and what it logged. Pods are
called OVERLAY-NAME-NUMBER, their containers OVERLAY-NAME-NUMBER-CONTAINER, and they reach each other by the names of their
Services on the network OVERLAY: each pod's file of hosts has them, since Podman's name server (aardvark-dns 1.4) answers nobody
for seconds after containers were started. :mod:`tests.containers.kube_manifests` says what stands for what.
"""

import argparse
import base64
import ipaddress
import json
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.containers.kube_manifests import STACK, NotPlayable, Pod, Translator, remove, secret_data
from tests.containers.podman import environment
from tests.serving import ROOT

PATIENCE = 120
MOST_RESTARTS = 5
FIRST_ADDRESS = 100
"""Of the network's, that a pod gets: those before are for what else is run on it."""

GET = "import sys, urllib.request; urllib.request.urlopen(sys.argv[1], timeout=3)"


def podman(*arguments: str, given: str | None = None, check: bool = True) -> str:
    """Run Podman; what it prints.

    Raises
    ------
    NotPlayable
        With what it said, if it failed and that is to be noticed.
    """
    done = subprocess.run(
        ["podman", *arguments], env=environment(), input=given, capture_output=True, text=True, check=False
    )
    if check and done.returncode != 0:
        raise NotPlayable(f"podman {' '.join(arguments)}: {done.stderr.strip()[-2000:]}")
    return done.stdout.strip()


def succeeds(*arguments: str) -> bool:
    """Whether Podman does it."""
    return subprocess.run(["podman", *arguments], env=environment(), capture_output=True, check=False).returncode == 0


class Stack:
    """An overlay that runs.

    Parameters
    ----------
    overlay
        Its name, or the directory of a kustomization.
    secrets
        The Secrets that it refers to, as Kubernetes resources.
    images
        What stands for an image, by its name in the manifest.
    publish
        ADDRESS:PORT at which the first server is reached from outside; the next one has the next port.
    name
        What all names begin with; the overlay's where it isn't said.
    """

    def __init__(
        self,
        overlay: str,
        *,
        secrets: Sequence[dict[str, Any]] = (),
        images: Mapping[str, str] | None = None,
        publish: str = "",
        name: str = "",
    ) -> None:
        directory = Path(overlay) if "/" in overlay else ROOT / "k8s" / "overlays" / overlay
        self.name = name or directory.resolve().name
        self.publish = publish
        self.secrets = list(secrets)
        built = subprocess.run(["kubectl", "kustomize", str(directory)], capture_output=True, text=True, check=False)
        if built.returncode != 0:
            raise NotPlayable(built.stderr.strip())
        self.files = ROOT / "var" / "kube-play" / self.name
        self.translator = Translator(
            self.name, [*yaml.safe_load_all(built.stdout), *self.secrets], images or {}, self.files
        )
        self.pods: list[Pod] = []
        self._addresses: dict[str, str] = {}

    def up(self) -> "Stack":
        """Start everything, anew where it runs already, and wait until it is ready."""
        self.files.mkdir(parents=True, exist_ok=True)
        self.files.chmod(0o700)
        self.pods = self.translator.pods()
        if not succeeds("network", "exists", self.name):
            podman("network", "create", "--disable-dns", self.name)
        (network,) = json.loads(podman("network", "inspect", self.name))
        free = ipaddress.ip_network(network["subnets"][0]["subnet"])
        self._addresses = {pod.name: str(free[FIRST_ADDRESS + number]) for number, pod in enumerate(self.pods)}
        for secret in self.secrets:
            data = {key: base64.b64encode(value).decode() for key, value in secret_data(secret).items()}
            name = f"{self.name}-{secret['metadata']['name']}"
            podman("secret", "rm", name, check=False)
            podman("secret", "create", name, "-", given=json.dumps(data))
        for pod in self.pods:
            if succeeds("pod", "exists", pod.name):
                _remove(pod.name)
            self._play(pod)
        self.wait()
        return self

    def wait(self) -> None:
        """Until every pod is ready.

        Raises
        ------
        NotPlayable
            If one isn't in time; with what it logged.
        """
        deadline = time.monotonic() + PATIENCE
        for pod in self.pods:
            for container, probes in pod.probes.items():
                while not all(self._passes(container, probe) for probe in probes):
                    restarts = int(podman("inspect", "--format", "{{.RestartCount}}", container))
                    if restarts >= MOST_RESTARTS:
                        raise NotPlayable(f"{container} ends as often as it is started:\n{self.logs(container)}")
                    if time.monotonic() > deadline:
                        raise NotPlayable(f"{container} isn't ready after {PATIENCE} s:\n{self.logs(container)}")
                    threading.Event().wait(0.2)

    def run(self, cron_job: str) -> str:
        """Do now what a CronJob does at its hour; what it logged.

        Raises
        ------
        NotPlayable
            If it fails; with what it logged.
        """
        pod = self.translator.once(cron_job)
        (container,) = pod.containers
        self._play(pod)
        try:
            code = podman("wait", container)
            said = self.logs(container)
        finally:
            podman("pod", "rm", "--force", pod.name)
        if code != "0":
            raise NotPlayable(f"{container} ended with {code}:\n{said}")
        return said

    def addresses(self, service: str) -> list[str]:
        """Of the pods behind a Service, on the network of the pods."""
        return [self._addresses[pod.name] for pod in self.pods if service in pod.services]

    def execute(self, container: str, *command: str) -> str:
        """Run a command in a container, named as in :attr:`Pod.containers`; what it prints."""
        return podman("exec", container, *command)

    def logs(self, container: str) -> str:
        """The end of what a container said."""
        done = subprocess.run(
            ["podman", "logs", "--tail", "60", container], env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )  # fmt: skip
        return done.stdout

    def down(self) -> None:
        """Stop everything, and remove it with its volumes."""
        for pod in podman("pod", "ps", "--quiet", "--filter", f"label={STACK}={self.name}").split():
            _remove(pod)
        for volume in podman("volume", "ls", "--quiet", "--filter", f"label={STACK}={self.name}").split():
            podman("volume", "rm", volume)
        for secret in podman("secret", "ls", "--format", "{{.Name}}").split():
            if secret.startswith(f"{self.name}-tailrace"):
                podman("secret", "rm", secret)
        podman("network", "rm", "--force", self.name, check=False)
        remove(self.files)

    def _play(self, pod: Pod) -> None:
        spec = pod.manifest[-1]["spec"]
        for volume in spec["volumes"]:
            if "persistentVolumeClaim" in volume:
                claim = volume["persistentVolumeClaim"]["claimName"]
                if not succeeds("volume", "exists", claim):
                    podman("volume", "create", "--label", f"{STACK}={self.name}", claim)
        if self.publish and "tailrace" in pod.services:
            address, _, port = self.publish.rpartition(":")
            number = int(pod.name.rpartition("-")[2])
            published = {"containerPort": 8080, "hostIP": address, "hostPort": int(port) + number}
            spec["containers"][0]["ports"] = [published]
        spec["hostAliases"] = [
            {"ip": self._addresses[one.name], "hostnames": one.services} for one in self.pods if one.services
        ]
        network = f"{self.name}:ip={self._addresses[pod.name]}" if pod.name in self._addresses else self.name
        podman("kube", "play", "--network", network, "-", given=yaml.safe_dump_all(pod.manifest))

    def _passes(self, container: str, probe: dict[str, Any]) -> bool:
        if "exec" in probe:
            command = probe["exec"]["command"]
        else:
            command = ["python", "-c", GET, f"http://127.0.0.1:8080{probe['httpGet']['path']}"]
        return succeeds("exec", container, *command)


def _remove(pod: str) -> None:
    """As Kubernetes does it: with time to end."""
    podman("pod", "stop", "--time", "60", pod, check=False)
    podman("pod", "rm", "--force", pod)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.containers.kube_play", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("what", choices=["up", "down"])
    parser.add_argument("overlay", help="a directory of k8s/overlays, or a path to a kustomization")
    parser.add_argument("--secrets", type=Path, help="a file with the Secrets that the overlay refers to")
    parser.add_argument("--image", action="append", default=[], metavar="NAME=INSTEAD", help="what stands for an image")
    parser.add_argument("--publish", default="", metavar="ADDRESS:PORT", help="where the first server is reached")
    parser.add_argument("--name", default="", help="what all names begin with (default: the overlay's)")
    options = parser.parse_args()
    try:
        stack = Stack(
            options.overlay,
            secrets=list(yaml.safe_load_all(options.secrets.read_text())) if options.secrets else [],
            images=dict(pair.split("=", 1) for pair in options.image),
            publish=options.publish,
            name=options.name,
        )
        stack.up() if options.what == "up" else stack.down()
    except (NotPlayable, OSError) as exc:
        sys.exit(f"kube_play: {exc}")


if __name__ == "__main__":
    main()
