"""Writing files atomically: a file is written completely, or not at all."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tailrace.errors import TailraceError

__all__ = ["NotWritten", "read_json", "replacing", "write_json"]


class NotWritten(TailraceError, OSError):
    """The file cannot be written. A file that was there before is unchanged."""


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A context that yields a temporary path in the same directory. At its end, the file there replaces `path`.

    The file is synced first, so it is on disk when the context ends. If the block raises an error, `path` stays unchanged.

    Raises
    ------
    NotWritten
        If the file cannot be written or renamed.
    """
    whole = Path(path)
    # The name keeps the path's ending, because the ending may determine the format.
    part = whole.with_name(f".{whole.stem}.{os.getpid()}.{os.urandom(4).hex()}.part{whole.suffix}")
    try:
        yield part
        with open(part, "rb") as file:
            os.fsync(file.fileno())
        os.replace(part, whole)
    except TailraceError:
        raise
    except OSError as error:
        raise NotWritten(f"{whole} can't be written: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink()


def read_json(path: Path) -> Any:
    """Returns the content of a file that `write_json` wrote; None if there is no such file."""
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        return None


def write_json(path: Path, content: Any, mode: int = 0o666) -> None:
    """Write JSON to a file atomically: after a crash at any time, the file is the old or the new one, and complete.

    ``mode`` is the file's mode before the umask is applied.
    """
    part = path.with_name(f".{path.name}.{os.uname().nodename}.{os.getpid()}.part")
    try:
        part.unlink(missing_ok=True)
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as file:
            json.dump(content, file, allow_nan=False)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        try:
            os.unlink(part)
        except OSError:
            pass
        raise
    _sync(path.parent)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
