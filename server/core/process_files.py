"""Files that belong to one process each.

A process takes over a file whose process has ended. So there are never more files than processes that ran at the same time.
"""

import fcntl
import os
from pathlib import Path
from typing import BinaryIO


def claim_file(directory: Path, ending: str) -> BinaryIO:
    """Return a file that belongs to this process while it is open: one whose process has ended, or a new one.

    Raises
    ------
    OSError
        If the disk is full or the directory isn't writable.
    """
    directory.mkdir(parents=True, exist_ok=True)
    left_behind = (_locked(path) for path in sorted(directory.glob(f"*.{ending}")))
    found = next((file for file in left_behind if file is not None), None)
    while found is None:  # another process that looks for a free file may lock a new one first
        found = _locked(directory / f"{os.getpid()}-{os.urandom(4).hex()}.{ending}")
    return found


def _locked(path: Path) -> BinaryIO | None:
    """Return the file, created if needed; None if it belongs to another process."""
    file = open(path, "a+b")  # noqa: SIM115 - it stays open
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file
