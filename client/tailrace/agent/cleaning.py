"""Deletes files of steps that have ended: only below the agent's root, by way of its trash, never through a link."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterable
from pathlib import Path

from tailrace.agent.root import Root
from tailrace.programs.files import kept_files

__all__ = ["clean", "discard", "empty_trash"]

RECORDS = ("step.json", "results.json", "settle.json", "ended.json", "job.sh")
"""Small files of the agent that stay."""


def clean(root: Root, folder: Path, always: Iterable[str]) -> int:
    """Delete an attempt's files but those to keep, and return how many bytes they had.

    Interrupted, it can be repeated.

    Parameters
    ----------
    root
        The agent's root.
    folder
        The attempt's folder.
    always
        Glob patterns of files that stay.
    """
    _check_inside(root, folder)
    stay = {str(path) for path in kept_files(folder, always)} | set(RECORDS)
    target = root.trash / f"{folder.parent.name}.{folder.name}.{uuid.uuid4().hex}"
    size = 0
    for place, directories, files in os.walk(folder, topdown=False):
        for name in (*files, *(one for one in directories if os.path.islink(os.path.join(place, one)))):
            path = Path(place) / name
            if str(path.relative_to(folder)) in stay:
                continue
            target.mkdir(exist_ok=True)
            size += path.lstat().st_size
            os.rename(path, target / uuid.uuid4().hex)
        if place != str(folder) and not os.path.basename(place).startswith("begun.") and not os.listdir(place):
            os.rmdir(place)
    empty_trash(root)
    return size


def discard(root: Root, folder: Path) -> None:
    """Delete the whole folder of an attempt that never ran."""
    if folder.exists():
        _check_inside(root, folder)
        os.rename(folder, root.trash / f"{folder.parent.name}.{folder.name}.{uuid.uuid4().hex}")
    empty_trash(root)


def empty_trash(root: Root) -> None:
    """Delete what is in the trash."""
    for name in os.listdir(root.trash):
        path = root.trash / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()


def _check_inside(root: Root, folder: Path) -> None:
    expected = root.step(folder.parent.name, int(folder.name))
    if folder != expected or folder.resolve() != expected:
        raise OSError(f"{folder} is not a folder below {root.path}: nothing was deleted")
