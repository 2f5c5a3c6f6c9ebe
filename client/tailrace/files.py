"""Files that are seen whole or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from tailrace.errors import TailraceError

__all__ = ["NotWritten", "replacing"]


class NotWritten(TailraceError, OSError):
    """The file can't be written; what was there before is there still."""


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A place beside `path` to write to; at the end it is made durable and takes the place of `path`.

    Raises
    ------
    NotWritten
        If the disk or the directory doesn't let it.
    """
    whole = Path(path)
    # The ending stays the last, as it says what is written.
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
