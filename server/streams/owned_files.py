"""Files of which every process has one to itself: whoever is gone leaves theirs to the next, so that there are never more
than there were processes at a time.
"""

import fcntl
import os
from pathlib import Path
from typing import BinaryIO


def claimed(directory: Path, ending: str) -> BinaryIO:
    """A file of this process's own for as long as it stays open: one that was left behind, or else a new one.

    Raises
    ------
    OSError
        If there is no room or no right to write there.
    """
    directory.mkdir(parents=True, exist_ok=True)
    left_behind = (_locked(path) for path in sorted(directory.glob(f"*.{ending}")))
    found = next((file for file in left_behind if file is not None), None)
    while found is None:  # whoever looks for one left behind may see a new one, and be first to lock it
        found = _locked(directory / f"{os.getpid()}-{os.urandom(4).hex()}.{ending}")
    return found


def _locked(path: Path) -> BinaryIO | None:
    """The file, made if need be; None if it is another process's."""
    file = open(path, "a+b")  # noqa: SIM115 - it stays open
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file
