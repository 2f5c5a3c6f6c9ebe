"""Finds runs of other tools in a directory."""

from __future__ import annotations

import os
from collections.abc import Iterator

from tailrace.errors import Unusable
from tailrace.tracking.importers.imported import ImportedRun
from tailrace.tracking.importers.mlruns import is_mlruns, read_mlruns
from tailrace.tracking.importers.neptune import is_neptune, read_neptune
from tailrace.tracking.importers.wandb import is_wandb, read_wandb

__all__ = ["find_runs"]

READERS = {
    "mlruns": (is_mlruns, read_mlruns),
    "wandb": (is_wandb, read_wandb),
    "neptune": (is_neptune, read_neptune),
}
USUAL = (".neptune", "wandb", "mlruns")
"""Where these tools keep runs, in the directory of a project."""


def find_runs(path: str) -> Iterator[tuple[str, ImportedRun]]:
    """Yields the runs of a directory, each with the name of the tool: that of one of these tools, or of a project.

    Raises
    ------
    Unusable
        If there is none.
    Unreadable
        If a run is damaged.
    """
    if not os.path.exists(path):
        raise Unusable(f"there is no {path}")
    places = [path, *(os.path.join(path, name) for name in USUAL)]
    for place in places:
        for tool, (matches, read) in READERS.items():
            if (
                os.path.exists(place)
                and (tool != "neptune" or place != path or _may_be_neptune(path))
                and matches(place)
            ):
                for run in read(place):
                    yield tool, run
                if place == path:
                    return


def _may_be_neptune(path: str) -> bool:
    """Whether a directory may be Neptune's: a search of a whole project would find what belongs to other tools."""
    return not any(os.path.isdir(os.path.join(path, name)) for name in USUAL)
