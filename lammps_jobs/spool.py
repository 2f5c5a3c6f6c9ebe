"""Observations that could not be delivered yet, one file each, until they can.

Safe with many writers and readers on one shared file system: a file appears whole or not at all (write, fsync,
rename), and delivering one twice is harmless, because each carries its idempotency key.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lammps_jobs.post import Refused, Server, observations_path

__all__ = ["Delivery", "Spool", "write_whole"]


@dataclass(frozen=True)
class Delivery:
    """What became of one spooled observation: delivered, or set aside for a reason."""

    path: Path
    refused: str | None = None


class Spool:
    """A directory of undelivered observations.

    Parameters
    ----------
    directory
        Made when the first observation is put there. What a server refuses for good moves to ``refused/`` in it.
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self.directory = Path(directory)

    @classmethod
    def from_environment(cls, directory: str | None = None) -> Spool:
        """``directory``, or ``TAILRACE_SPOOL``, or ``tailrace/spool`` in the user's state directory."""
        state = os.environ.get("XDG_STATE_HOME") or os.path.join(os.path.expanduser("~"), ".local", "state")
        return cls(directory or os.environ.get("TAILRACE_SPOOL") or os.path.join(state, "tailrace", "spool"))

    def put(self, stream: str, observation: dict[str, Any]) -> Path:
        """Keep one observation, which must have a ``key``. Raises OSError if it can't be written."""
        path = self.directory / f"{time.time_ns():020d}-{_digest(stream, observation['key'])}.json"
        self.directory.mkdir(parents=True, exist_ok=True)
        write_whole(path, {"stream": stream, "observation": observation})
        return path

    def waiting(self) -> list[Path]:
        """The files that wait, oldest first."""
        try:
            return sorted(path for path in self.directory.iterdir() if path.suffix == ".json")
        except FileNotFoundError:
            return []

    def flush(self, server: Server, *, deadline: float = 5.0) -> Iterator[Delivery]:
        """Deliver what waits, oldest first, until all is done or the deadline has passed.

        Yields
        ------
        Delivery
            One for each observation that no longer waits.

        Raises
        ------
        Undelivered, Refused
            From the first that can't be delivered now: it and the rest go on waiting.
        """
        ends = time.monotonic() + deadline
        for path in self.waiting():
            if (left := ends - time.monotonic()) <= 0:
                return
            try:
                content = json.loads(path.read_bytes())
                stream, observation = content["stream"], content["observation"]
            except FileNotFoundError:
                continue  # Another flush was faster.
            except (ValueError, KeyError, TypeError):
                yield self._set_aside(path, "the file is not a whole observation")
                continue
            try:
                server.request("POST", observations_path(stream), observation, deadline=left)
            except Refused as error:
                if not error.for_good:
                    raise
                yield self._set_aside(path, str(error))
            else:
                path.unlink(missing_ok=True)
                yield Delivery(path)

    def refuse(self, stream: str, observation: dict[str, Any], reason: str) -> Path:
        """Keep an observation that the server will never take, with the reason beside it."""
        return self._set_aside(self.put(stream, observation), reason).path

    def refusal(self, stream: str, key: str) -> Path:
        """Where the reason is kept why an observation was refused, if it was."""
        return self.directory / "refused" / f"{_digest(stream, key)}.reason"

    def _set_aside(self, path: Path, reason: str) -> Delivery:
        # Without its time: refused again, it takes the same place.
        target = self.directory / "refused" / path.name.rpartition("-")[2]
        target.parent.mkdir(exist_ok=True)
        target.with_suffix(".reason").write_text(reason + "\n", encoding="utf-8")
        if path.exists():
            path.replace(target)
        return Delivery(target, reason)


def _digest(stream: str, key: str) -> str:
    return hashlib.sha256(f"{stream}\0{key}".encode()).hexdigest()[:16]


def write_whole(path: Path, content: Any, mode: int = 0o666) -> None:
    """Write JSON so that a crash at any instant leaves the old file or the new one, never a part.

    ``mode`` is what the file allows to whom, less what the process's umask takes away.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    part.unlink(missing_ok=True)
    with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as file:
        json.dump(content, file, allow_nan=False)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
