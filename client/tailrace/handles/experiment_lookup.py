"""Finding an experiment by its name: the server's addresses have its number."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tailrace.errors import NotFound
from tailrace.handles.session import Session

__all__ = ["experiment_path", "fetch_experiment"]


def fetch_experiment(session: Session, name: str) -> Mapping[str, Any]:
    """Returns the server's description of an experiment, also of a deleted one.

    Raises
    ------
    NotFound
        If there is none of this name.
    """
    query = {"name": name, "lifecycle": "all"}
    found: list[Mapping[str, Any]] = session.send("GET", session.path("experiments"), query=query)["experiments"]
    if not found:
        raise NotFound(f"{session.server.url}: no experiment named {name!r}", 404, "not_found", "experiment")
    return found[0]


def experiment_path(session: Session, name: str, *parts: str) -> str:
    """Returns the path of an experiment, or of a part of it. See `fetch_experiment`."""
    return session.path("experiments", str(fetch_experiment(session, name)["id"]), *parts)
