"""What is installed: the version that a program prints."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from tailrace.programs import ProgramUnavailable, Site

__all__ = ["printed_version"]

LIMIT = 60.0
OUTPUT = "output.txt"


def printed_version(
    site: Site, words: Sequence[str], option: Sequence[str], read: Callable[[Path], str], what: str
) -> str:
    """Run a program with an option, in an empty folder, and return the version in its output.

    Parameters
    ----------
    site
        For the container.
    words, option
        The program, and the words that make it say its version.
    read
        Returns the version in a file with the output; empty if there is none.
    what
        Name of the program, for messages.

    Raises
    ------
    ProgramUnavailable
        If it can't be run, or prints no version.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / OUTPUT
        command = site.container.wrap([*words, *option], Path(folder), Path(folder))
        try:
            with open(path, "wb") as output:
                subprocess.run(
                    command, cwd=folder, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, timeout=LIMIT,
                    check=False,
                )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ProgramUnavailable(f"command = {list(words)} can't be run: {error}") from None
        version = read(path)
    if not version:
        raise ProgramUnavailable(f"command = {list(words)} is not {what}: it prints no version of it")
    return version
