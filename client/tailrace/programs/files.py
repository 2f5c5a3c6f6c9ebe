"""Files of a step: checked copies, checksums, ends of long files, and the files that a step keeps."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from tailrace.programs.errors import StepRefused

__all__ = ["copy_checked", "kept_files", "sha256_of", "tail"]

BLOCK = 1 << 20


def sha256_of(path: Path) -> str:
    """Returns the SHA-256 of a file, in hexadecimal digits. Raises OSError if it can't be read."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def copy_checked(source: Path, target: Path, sha256: str = "") -> str:
    """Copy a file, and return the SHA-256 of the copy, read from disk.

    Parameters
    ----------
    source, target
        Paths of files. The directory of `target` is made.
    sha256
        What the file must have. Empty: what `source` has now.

    Raises
    ------
    StepRefused
        If `source` is missing, or the copy is another file than expected.
    """
    if not source.is_file():
        raise StepRefused(f"{source} is missing: run the step that makes it again")
    expected = sha256 or sha256_of(source)
    target.parent.mkdir(parents=True, exist_ok=True)
    with open(source, "rb") as read, open(target, "wb") as write:
        shutil.copyfileobj(read, write, BLOCK)
        write.flush()
        os.fsync(write.fileno())
    found = sha256_of(target)
    if found != expected:
        raise StepRefused(
            f"{source} was changed or cut off: its SHA-256 is {found[:12]}…, expected {expected[:12]}…; run the step that "
            "makes it again"
        )
    return found


def kept_files(folder: Path, patterns: Iterable[str]) -> list[Path]:
    """Returns the files in `folder` that match one of the patterns, sorted, relative to it.

    Links are left out, and so are files below linked directories: they may point out of the folder. Raises ValueError
    for a pattern that is absolute or climbs out of the folder.
    """
    whole = folder.resolve()
    found = set()
    for pattern in patterns:
        if pattern.startswith("/") or ".." in Path(pattern).parts:
            raise ValueError(f"the pattern {pattern!r} leaves the step's folder: expected a relative one")
        for path in whole.glob(pattern):
            if path.is_file() and path.resolve() == path:
                found.add(path.relative_to(whole))
    return sorted(found)


def tail(path: Path, most: int = 1 << 16) -> str:
    """Returns the text at the end of a file, at most `most` bytes of it, with replacements for invalid bytes.

    Raises OSError if the file can't be read.
    """
    with open(path, "rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - most))
        return file.read(most).decode("utf-8", "replace")
