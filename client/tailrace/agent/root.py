"""`Root`: the folder below which an agent writes, its lock, its identity, and the folders of steps."""

from __future__ import annotations

import fcntl
import os
import re
import socket
import uuid
from pathlib import Path
from typing import Any

from tailrace.atomic_files import read_json, write_json
from tailrace.errors import TailraceError, Unusable

__all__ = ["Root", "RootFailed", "RootInUse", "check_step"]

STEP = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class RootInUse(TailraceError):
    """Another agent works in the root."""


class RootFailed(TailraceError):
    """The root cannot be written."""


def check_step(step: object, fence: object) -> tuple[str, int]:
    """Returns a step's identifier and fence as they name its folder. Raises Unusable if they could name another place."""
    if not isinstance(step, str) or not STEP.fullmatch(step):
        raise Unusable(f"the step's identifier is {step!r:.100}: expected letters, digits, '.', '_' and '-'")
    if not isinstance(fence, int) or isinstance(fence, bool) or not 0 <= fence < 2**53:
        raise Unusable(f"the fence of step {step} is {fence!r:.100}: expected a whole number")
    return step, fence


class Root:
    """The folder of an agent.

    Parameters
    ----------
    path
        The folder. It is made, readable by its owner alone.

    Raises
    ------
    RootFailed
        If it cannot be made or written.
    """

    def __init__(self, path: Path) -> None:
        try:
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.path = path.resolve(strict=True)
            for name in ("steps", "trash", "programs"):
                (self.path / name).mkdir(exist_ok=True)
                if (self.path / name).is_symlink():
                    raise OSError(f"{name} in it is a link")
            self.check_writable()
        except OSError as error:
            raise RootFailed(f"the root {path} can't be used: {error.strerror or error}") from None
        self._lock: int | None = None

    @property
    def journal(self) -> Path:
        """The agent's journal."""
        return self.path / "journal.jsonl"

    @property
    def trash(self) -> Path:
        """Where files go before they are deleted."""
        return self.path / "trash"

    @property
    def spool(self) -> Path:
        """Observations that the server does not have yet."""
        return self.path / "spool"

    def step(self, step: str, fence: int) -> Path:
        """Returns the folder of an attempt. Raises Unusable if the identifier could name another place."""
        step, fence = check_step(step, fence)
        return self.path / "steps" / step / str(fence)

    def fence_file(self, step: str) -> Path:
        """Returns the file that names the fence that may run."""
        return self.step(step, 0).parent / "fence"

    def lock(self) -> None:
        """Hold the root until this process ends. Raises RootInUse if another process holds it."""
        place = self.path / "agent.lock"
        descriptor = os.open(place, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(descriptor, 300, 0).decode(errors="replace").strip()
            os.close(descriptor)
            raise RootInUse(
                f"another agent works in {self.path} ({holder or 'unknown process'}): one root has one agent. Stop that one, or "
                "give this one another root"
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
        self._lock = descriptor

    def unlock(self) -> None:
        """Release the root."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def identity(self, server: str) -> dict[str, Any]:
        """Returns who this agent is: its UUID, made once. Raises Unusable if the root belongs to another server."""
        path = self.path / "identity.json"
        found = read_json(path)
        if found is None:
            found = {"agent": str(uuid.uuid4()), "server": server, "host": socket.gethostname()}
            write_json(path, found, 0o600)
        if found["server"] != server:
            raise Unusable(
                f"the root {self.path} holds steps of {found['server']}, not of {server}: name another root, or if the server "
                f"has moved, change its address in {path}"
            )
        return dict(found)

    def check_writable(self) -> None:
        """Raise OSError if the root cannot be written."""
        probe = self.path / ".probe"
        with open(probe, "wb") as file:
            file.write(b"x" * 4096)
        probe.unlink()

    def free_bytes(self) -> tuple[int, int]:
        """Returns the free and the total bytes of the file system."""
        found = os.statvfs(self.path)
        return found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize
