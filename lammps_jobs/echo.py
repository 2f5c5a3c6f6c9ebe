"""The variables of a LAMMPS input, read from the echo of its commands.

LAMMPS repeats no command line, but it echoes each command as written and again for each value it puts in:

    replicate ${x} ${y}
    replicate 8 ${y}
    replicate 8 4
"""

from __future__ import annotations

import re

__all__ = ["Echo"]

_REFERENCE = re.compile(rb"""\$(?:\{(\w+)\}|(\w))|[$#"']""")


class Echo:
    """Takes a log line by line, outside of the output of runs.

    Attributes
    ----------
    variables
        The first value of each variable that was used, as printed.
    """

    def __init__(self) -> None:
        self.variables: dict[str, str] = {}
        self._expected: tuple[bytes, str, bytes] | None = None

    def feed(self, line: bytes) -> None:
        line = line.rstrip()
        if self._expected is not None:
            before, name, after = self._expected
            if len(line) >= len(before + after) and line.startswith(before) and line.endswith(after):
                self.variables.setdefault(name, _text(line[len(before) : len(line) - len(after)]))
        self._expected = _reference(line)


def _reference(command: bytes) -> tuple[bytes, str, bytes] | None:
    """The first variable that LAMMPS will put a value in for: what stands before it, its name, what stands after.

    LAMMPS passes over what is in quotes, and leaves out a comment when it echoes the command again.
    """
    quote, found = b"", None
    for match in _REFERENCE.finditer(command):
        if quote:
            quote = b"" if match[0] == quote else quote
        elif match[0] == b"#":
            command = command[: match.start()].rstrip()
            break
        elif match[0] in (b'"', b"'"):
            quote = match[0]
        elif found is None:
            if match[0] == b"$":
                return None  # An expression, "$(…)", comes first.
            found = match
    if found is None:
        return None
    return command[: found.start()], _text(found[1] or found[2]), command[found.end() :]


def _text(word: bytes) -> str:
    return word.decode("utf-8", "replace")
