"""Models on disk and in memory, to be used without the server.

The server sends a pickle. Reading one runs what it says, so read only what came from a server that you trust.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

from tailrace.errors import TailraceError
from tailrace.extras import needs
from tailrace.files import replacing

__all__ = ["UnreadableModel", "download", "load"]


class UnreadableModel(TailraceError):
    """The estimator can't be read here: its classes are missing or differ, or the data are no pickle."""


def download(data: bytes, path: Path) -> Path:
    """Write a downloaded pickle, whole or not at all."""
    with replacing(path) as part:
        part.write_bytes(data)
    return path


def load(data: bytes, name: str) -> Any:
    """The estimator in a pickle that a trusted Tailrace server sent.

    Raises
    ------
    MissingExtra
        If river is not installed.
    UnreadableModel
        If it can't be read with what is installed here.
    """
    river = needs("river")
    try:
        return pickle.loads(data)  # noqa: S301  # as the caller asked
    except Exception as error:
        raise UnreadableModel(
            f"the estimator of {name} can't be read with river {river.__version__}: {type(error).__name__}: {error}. "
            "Install the river that the server runs (GET /api/ says which)"
        ) from error
