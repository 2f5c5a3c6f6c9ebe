"""Run frozen copies of models as containers: the agent of one machine, or manifests for Kubernetes.

The agent alone holds the socket of a rootless Podman or Docker. It runs the services that the server wants, from images that
the site's file lists by digest. Containers have no network, no mounts, no capabilities, and limits of memory, CPU and processes.
Ctrl-C and SIGTERM stop the agent; the containers go on, and its next start finds them.
It needs: pip install 'tailrace[model-agent]'

manifests writes a Deployment, a Service and a NetworkPolicy for kubectl; the agent and the server hold no rights in a
Kubernetes cluster.

examples:
  tailrace model-agent init --config model-agent.toml       write an example to start from
  tailrace model-agent check --config model-agent.toml      try the socket, the images and the token
  tailrace model-agent run --config model-agent.toml        work until stopped
  tailrace model-agent manifests runtime --image registry.example.org/runtime@sha256:0123… | kubectl apply -f -
"""

from __future__ import annotations

import argparse
import signal
from pathlib import Path

from tailrace.cli.messages import OK, PROBLEM, say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tailrace.model_agent.settings import Settings

ASKS_A_SERVER = False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("run", "check", "init", "manifests"), help="what to do")
    parser.add_argument("name", nargs="?", help="manifests: the service's name")
    parser.add_argument(
        "--config", metavar="FILE", default="model-agent.toml", help="the site's file (default: %(default)s)"
    )
    parser.add_argument("--image", help="manifests: the image, by its digest")
    parser.add_argument("--namespace", default="tailrace", help="manifests: the namespace (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8080, help="manifests: the container's port (default: %(default)s)")
    parser.add_argument("--memory-mb", type=int, default=1024, help="manifests: MB of memory (default: %(default)s)")
    parser.add_argument("--cpus", type=float, default=1.0, help="manifests: CPUs (default: %(default)s)")
    parser.add_argument("--replicas", type=int, default=1, help="manifests: copies that run (default: %(default)s)")


def run(options: argparse.Namespace) -> int:
    path = Path(options.config)
    if options.action == "init":
        return _init(path)
    if options.action == "manifests":
        return _manifests(options)
    from tailrace.agent.site_file import read_token
    from tailrace.model_agent import ModelAgent, read_settings

    settings = read_settings(path)
    if options.action == "check":
        return _check(settings)
    agent = ModelAgent(settings, lambda: read_token(settings.token_file), say)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: agent.stop())
    return agent.run()


def _init(path: Path) -> int:
    from tailrace.errors import Unusable
    from tailrace.model_agent import EXAMPLE

    try:
        with open(path, "x", encoding="utf-8") as file:
            file.write(EXAMPLE)
    except FileExistsError:
        raise Unusable(f"{path} exists: it is not overwritten") from None
    except OSError as error:
        say(f"{path} can't be written: {error.strerror}")
        return PROBLEM
    print(f"tailrace: wrote {path}: change it, then run: tailrace model-agent check --config {path}")
    return OK


def _check(settings: Settings) -> int:
    from tailrace.agent.site_file import read_token
    from tailrace.model_agent.engine import Engine, EngineError

    read_token(settings.token_file)
    try:
        engine = Engine(settings.socket, "check")
        print(f"ok: {settings.socket} is an engine of version {engine.version()}")
        missing = [image for image in settings.images if not engine.has(image)]
    except EngineError as error:
        print(f"problem: {settings.socket}: {error}")
        return PROBLEM
    for image in missing:
        print(f"problem: the image {image} is not on this machine: pull or load it")
    if not settings.images:
        print("problem: the file lists no images, so no service can run")
    return PROBLEM if missing or not settings.images else OK


def _manifests(options: argparse.Namespace) -> int:
    from tailrace.errors import Unusable
    from tailrace.model_agent.manifests import manifests

    if not options.name or not options.image:
        raise Unusable("manifests needs a name and --image: tailrace model-agent manifests NAME --image NAME@sha256:…")
    print(
        manifests(
            options.name, options.image, namespace=options.namespace, port=options.port, memory_mb=options.memory_mb,
            cpus=options.cpus, replicas=options.replicas,
        ),
        end="",
    )  # fmt: skip
    return OK
