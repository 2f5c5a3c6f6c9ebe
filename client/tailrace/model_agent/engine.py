"""`Engine`: the five verbs (run, stop, restart, delete, status) on the containers of one model agent."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass
from typing import Any

from tailrace.errors import Unusable
from tailrace.model_agent.wanted import Refused, Wanted

__all__ = ["Engine", "EngineError", "Status"]

LABEL, OWNER, FINGERPRINT = "tailrace.service", "tailrace.model-agent", "tailrace.fingerprint"
API_VERSION = "1.40"
TIMEOUT = 60
SCRATCH = "size=64m,mode=1777,nosuid,nodev"
MB = 2**20
MOST_VOLUMES = 8


def _volumes(image: Any) -> list[str]:
    """Return the volumes that an image declares. A service gets memory in their place, so it leaves nothing on the disk.

    Raises
    ------
    Refused
        If there are more than :data:`MOST_VOLUMES`.
    """
    found = sorted(image.attrs.get("Config", {}).get("Volumes") or {})
    if len(found) > MOST_VOLUMES:
        raise Refused(f"the image declares {len(found)} volumes: a service may have at most {MOST_VOLUMES}, in memory")
    return found


class EngineError(Exception):
    """Podman or Docker can't be reached, or refuses. The message says what it said."""


@dataclass(frozen=True)
class Status:
    """One container: its service, what it was made of, and whether it runs."""

    service: str
    fingerprint: str
    id: str
    running: bool
    exit_code: int | None
    is_out_of_memory: bool

    @property
    def ended(self) -> str:
        """Why it does not run, in words."""
        if self.is_out_of_memory or self.exit_code == 137:
            return "the container was killed, probably because it exceeded its memory"
        return f"the container ended with exit code {self.exit_code}"


class Engine:
    """Podman or Docker by its socket.

    Containers have no network, no mounts of the host, no capabilities, a read-only root file system with a small ``/tmp`` (and volumes that the
    image declares) in memory, and limits
    of memory, CPU and processes.

    Parameters
    ----------
    socket
        ``unix://PATH``.
    owner
        Whose containers they are: several agents may share a socket.
    """

    def __init__(self, socket: str, owner: str) -> None:
        try:
            import docker
            import docker.errors
            import requests.exceptions
        except ImportError as error:
            raise Unusable("the model agent needs the docker SDK: pip install 'tailrace[model-agent]'") from error
        self._errors = (docker.errors.DockerException, requests.exceptions.RequestException, OSError)
        self._missing = docker.errors.NotFound
        self._owner = owner
        self._lock = threading.RLock()  # Podman fails to list containers while one is removed
        with self._told():
            self._client = docker.DockerClient(base_url=socket, version=API_VERSION, timeout=TIMEOUT)

    @contextlib.contextmanager
    def _told(self) -> Any:
        try:
            yield
        except self._errors as error:
            raise EngineError(f"{type(error).__name__}: {str(error)[:500]}") from error

    def version(self) -> str:
        """Return the engine's version."""
        with self._told():
            return str(self._client.version()["Version"])

    def has(self, image: str) -> bool:
        """Return whether an image, by its digest, is on this machine."""
        with self._told():
            try:
                self._client.images.get(image)
            except self._missing:
                return False
            return True

    def status(self) -> dict[str, Status]:
        """Return the agent's containers by service."""
        with self._lock, self._told():
            return self._found()

    def status_of(self, service: str) -> Status | None:
        """Return the container of a service; None if there is none."""
        with self._lock, self._told():
            return self._found(f"{LABEL}={service}").get(service)

    def _found(self, *labels: str) -> dict[str, Status]:
        listed = self._client.api.containers(all=True, filters={"label": [f"{OWNER}={self._owner}", *labels]})
        return {status.service: status for status in map(self._status, listed) if status is not None}

    def _status(self, listed: dict[str, Any]) -> Status | None:
        try:
            state = self._client.api.inspect_container(listed["Id"])["State"]
        except self._missing:
            return None  # removed since it was listed
        labels, running = listed["Labels"], bool(state.get("Running"))
        code = None if running else state.get("ExitCode")
        return Status(
            labels[LABEL], labels.get(FINGERPRINT, ""), listed["Id"], running, code, bool(state.get("OOMKilled"))
        )

    def run(self, wanted: Wanted) -> str:
        """Create and start the container of a service, and return its ID.

        Raises
        ------
        Refused
            If its image isn't here, or the engine does not apply the limits.
        EngineError
            If the engine fails.
        """
        with self._lock, self._told():
            try:
                image = self._client.images.get(wanted.image)
            except self._missing as error:
                raise Refused(f"the image {wanted.image} is not on this machine: pull or load it") from error
            if wanted.image not in (image.id, *(image.attrs.get("RepoDigests") or ())):
                raise Refused(f"the image {wanted.image} is not what this machine has under that name: {image.id}")
            container = self._client.containers.create(
                image.id,
                detach=True,
                name=f"tailrace-{wanted.name}-{wanted.fingerprint[:8]}",
                labels={LABEL: wanted.name, OWNER: self._owner, FINGERPRINT: wanted.fingerprint},
                network_mode="none",
                read_only=True,
                tmpfs=dict.fromkeys(("/tmp", *_volumes(image)), SCRATCH),  # noqa: S108 - within the container
                cap_drop=["ALL"],
                security_opt=["no-new-privileges"],
                mem_limit=wanted.memory_mb * MB,
                memswap_limit=wanted.memory_mb * MB,
                nano_cpus=int(wanted.cpus * 1e9),
                pids_limit=wanted.pids,
                log_config={"Config": {"max-size": "1m"}},
            )
            try:
                self._check(container, wanted)
                container.start()
            except BaseException:
                container.remove(force=True, v=True)
                raise
            return str(container.id)

    @staticmethod
    def _check(container: Any, wanted: Wanted) -> None:
        """Check that the engine has taken every restriction: an old or a foreign one may ignore some."""
        container.reload()
        host = container.attrs["HostConfig"]
        expected = {
            "Memory": wanted.memory_mb * MB,
            "PidsLimit": wanted.pids,
            "NetworkMode": "none",
            "ReadonlyRootfs": True,
            "Privileged": False,
        }
        for name, value in expected.items():
            if host.get(name) != value:
                raise Refused(
                    f"the engine does not restrict the container: {name} is {host.get(name)!r}, not {value!r}"
                )
        if host.get("Binds") or any(mount.get("Type") != "tmpfs" for mount in container.attrs.get("Mounts") or ()):
            raise Refused("the engine mounts something into the container: a service has no mounts but in memory")

    def delete(self, status: Status) -> None:
        """Stop and remove a container. It is fine if it has gone."""
        with self._lock, self._told():
            try:
                self._client.api.remove_container(status.id, force=True, v=True)
            except self._missing:
                return

    def stop(self, status: Status) -> None:
        """Stop a container, which keeps nothing: the same as :meth:`delete`."""
        self.delete(status)

    def restart(self, status: Status, wanted: Wanted) -> str:
        """Replace a container by a new one, and return its ID."""
        self.delete(status)
        return self.run(wanted)

    def open_process(self, container: str, command: list[str]) -> Any:
        """Start a process in a container, and return the socket of its standard input and output."""
        with self._told():
            made = self._client.api.exec_create(container, command, stdin=True, stdout=True, stderr=False)
            stream = self._client.api.exec_start(made["Id"], socket=True)
            return getattr(stream, "_sock", stream)

    def tail(self, status: Status) -> str:
        """Return the end of what a container printed, in one line."""
        try:
            with self._told():
                text = self._client.api.logs(status.id, stdout=True, stderr=True, tail=3)
        except EngineError:
            return ""
        return " | ".join(bytes(text).decode(errors="replace").split("\n")).strip(" |")[-300:]
