"""Real containers for the tests: the images as ``make image`` builds them, run by podman."""

import contextlib
import http.client
import json
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

import bench.podman
from tests.serving import PATIENCE, free_port

SERVER = bench.podman.SERVER
CLIENT = "localhost/tailrace-client:latest"


def podman(*arguments: str, ok: bool = True, seconds: float = PATIENCE) -> subprocess.CompletedProcess[str]:
    """Run podman, and have it succeed unless ``ok`` says that it need not."""
    done = subprocess.run(
        ["podman", *arguments], env=environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=seconds, check=False,
    )  # fmt: skip
    assert not ok or done.returncode == 0, (
        f"podman {' '.join(arguments)}: {done.returncode}\n{done.stdout}{done.stderr}"
    )
    return done


def environment() -> dict[str, str]:
    """The variables that podman is run with: this machine's own configuration, or ours where that one runs nothing."""
    return bench.podman.environment()


def inspected(image: str) -> dict[str, Any]:
    """What podman knows of an image."""
    found: dict[str, Any] = json.loads(podman("image", "inspect", image).stdout)[0]
    return found


def said_by(image: str, *command: str, options: Sequence[str] = ()) -> str:
    """What a command prints in a container of its own."""
    return podman("run", "--rm", "--network", "none", *options, image, *command).stdout


@contextlib.contextmanager
def volume() -> Iterator[str]:
    """The name of an empty volume, removed at the end."""
    name = f"tailrace-test-{uuid.uuid4().hex[:12]}"
    podman("volume", "create", name)
    try:
        yield name
    finally:
        podman("volume", "rm", "--force", name)


class Container:
    """A server in a container, on a port of its own of this machine, as strict as Kubernetes would be.

    Its root file system is read-only, it has no rights at all, and writes to its volume and to ``/tmp``.

    Parameters
    ----------
    data
        The volume.
    command
        Instead of the server.
    settings
        Of the server, without their prefix.
    """

    def __init__(self, data: str, *command: str, **settings: Any) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.name = f"tailrace-test-{uuid.uuid4().hex[:12]}"
        self._data = data
        self._command = command
        self._settings = {"bind": f"127.0.0.1:{self.port}", "auth": "open"} | settings

    def __enter__(self) -> "Container":
        given = [f"--env=TAILRACE_{name.upper()}={value}" for name, value in self._settings.items()]
        podman(
            "run", "--detach", "--name", self.name, "--network", "host", "--read-only", "--read-only-tmpfs=false",
            "--tmpfs", "/tmp:size=64m", "--cap-drop", "all", "--security-opt", "no-new-privileges",
            "--volume", f"{self._data}:/var/lib/tailrace", *given, SERVER, *self._command,
        )  # fmt: skip
        if not self._command:
            self.wait_until_ready()
        return self

    def __exit__(self, *_: object) -> None:
        # On a busy machine it may give up waiting for the end of what it has killed.
        if podman("rm", "--force", "--time", "0", self.name, ok=False).returncode != 0:
            podman("rm", "--force", "--time", "0", self.name)

    def start(self) -> None:
        """Start it again, after it was stopped or killed."""
        podman("start", self.name)
        self.wait_until_ready()

    def stop(self) -> int:
        """As an operator does it; its exit code."""
        podman("stop", "--time", "40", self.name)
        return int(podman("container", "inspect", "--format", "{{.State.ExitCode}}", self.name).stdout)

    def kill(self) -> None:
        """As a power cut does it."""
        podman(
            "kill", "--signal", "KILL", self.name, ok=False
        )  # waits 5 s for its end, which a busy machine may exceed
        podman("wait", self.name)

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError, http.client.HTTPException):
                if self.request("GET", "/readyz")[0] == 200:
                    return
            if podman("container", "inspect", "--format", "{{.State.Running}}", self.name).stdout.strip() != "true":
                break
            threading.Event().wait(0.05)
        raise AssertionError(f"the container didn't get ready:\n{self.log()[-3000:]}")

    def log(self) -> str:
        done = podman("logs", self.name)
        return done.stdout + done.stderr

    def run(self, *command: str, ok: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command beside the server, in the same container."""
        return podman("exec", self.name, *command, ok=ok)

    def request(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request(method, path, None if body is None else json.dumps(body))
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read() or b"null")
        finally:
            connection.close()

    def post(self, path: str, body: Any) -> tuple[int, Any]:
        return self.request("POST", path, body)
