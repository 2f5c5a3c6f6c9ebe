"""Downloaded models, on disk or in memory, to use without the server.

The server sends a pickle. Loading one runs code from it, so load only files from a server that you trust.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

from tailrace.atomic_files import replacing
from tailrace.errors import TailraceError
from tailrace.optional_dependencies import require

__all__ = ["UnreadableModel", "download", "load"]


class UnreadableModel(TailraceError):
    """The estimator cannot be loaded here: its classes are missing or differ, or the data are not a pickle."""


def download(data: bytes, path: Path) -> Path:
    """Write a downloaded pickle to a file, and return the path. If it fails, it changes no file."""
    with replacing(path) as part:
        part.write_bytes(data)
    return path


def load(data: bytes, name: str) -> Any:
    """Returns the estimator in a pickle from a trusted Tailrace server.

    Raises
    ------
    MissingExtra
        If river is not installed.
    UnreadableModel
        If the installed packages cannot load it.
    """
    river = require("river")
    try:
        return pickle.loads(data)  # noqa: S301  # the caller trusts the server
    except Exception as error:
        raise UnreadableModel(
            f"the estimator of {name} can't be read with river {river.__version__}: {type(error).__name__}: {error}. "
            "Install the river that the server runs (GET /api/ says which)"
        ) from error
