"""`Wanted`: what the server wants of one service, checked."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tailrace.model_agent.settings import Settings

__all__ = ["Refused", "Wanted", "wanted_of"]

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
RUNNING, STOPPED, DELETED = "running", "stopped", "deleted"


class Refused(Exception):
    """The site does not allow a service. The message says why."""


@dataclass(frozen=True)
class Wanted:
    """One service as the server wants it."""

    name: str
    image: str
    port: int
    memory_mb: int
    cpus: float
    pids: int
    start_seconds: float
    sample: Mapping[str, Any]
    wanted: str
    generation: int

    @property
    def fingerprint(self) -> str:
        """Stands for everything that a container is made of: another one needs another container."""
        parts = [self.image, self.port, self.memory_mb, self.cpus, self.pids, self.generation]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]

    def check(self, settings: Settings) -> None:
        """Check that the site allows it.

        Raises
        ------
        Refused
            If not.
        """
        if self.image not in settings.images:
            raise Refused(f"the site's file does not list the image {self.image}")
        for name in ("memory_mb", "cpus", "pids"):
            asked, most = getattr(self, name), getattr(settings, name)
            if asked > most:
                raise Refused(f"{name} is {asked:g}: the site allows at most {most:g}")


def wanted_of(told: Mapping[str, Any]) -> Wanted:
    """Return what a server told of one service.

    Raises
    ------
    Refused
        If it makes no sense.
    """
    try:
        found = Wanted(
            str(told["name"]), str(told["image"]), int(told["port"]), int(told["memory_mb"]), float(told["cpus"]),
            int(told["pids"]), float(told["start_seconds"]), dict(told["sample"]), str(told["wanted"]), int(told["generation"]),
        )  # fmt: skip
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise Refused(
            f"the server's answer has a service that can't be read: {type(error).__name__}: {error}"
        ) from error
    if (
        not NAME.fullmatch(found.name)
        or not 1 <= found.port <= 65535
        or found.wanted not in (RUNNING, STOPPED, DELETED)
    ):
        raise Refused(
            f"the server's answer has a service that can't be: {found.name!r}, port {found.port}, {found.wanted!r}"
        )
    return found
