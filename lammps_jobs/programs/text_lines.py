"""Reads text files of any size and content line by line, with bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

__all__ = ["first_words", "lines"]

LONGEST = 1 << 16


def lines(path: Path) -> Iterator[str]:
    """Yield the lines of a file without line ends. Longer lines than 64 kB come in pieces; invalid bytes are replaced.

    Raises OSError if the file can't be read.
    """
    with open(path, "rb") as file:
        while piece := file.readline(LONGEST):
            yield piece.decode("utf-8", "replace").rstrip("\r\n")


def first_words(path: Path, most: int = 300) -> str:
    """Return the first letters of a file in one line, for a message; ``nothing`` if it is empty.

    Control characters are left out. Raises OSError if the file can't be read.
    """
    with open(path, "rb") as file:
        text = file.read(8 * most).decode("utf-8", "replace")
    words = " ".join("".join(one if one.isprintable() else " " for one in text).split())
    return repr(words[:most]) if words else "nothing"
