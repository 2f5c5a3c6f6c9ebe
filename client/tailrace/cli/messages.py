"""Exit codes, and messages on standard error."""

from __future__ import annotations

import os

__all__ = ["OK", "PROBLEM", "UNUSABLE", "say"]

OK, PROBLEM, UNUSABLE = 0, 1, 2
"""Exit codes: done; the server or the disk reported an error; the command line is not valid."""


def say(line: str) -> None:
    """Write one line to standard error, without Python's buffers. If it cannot be written, it is dropped."""
    text = "".join(one if one.isprintable() else " " for one in line)
    try:
        os.write(2, f"tailrace: {text}\n".encode(errors="replace"))
    except OSError:
        pass
