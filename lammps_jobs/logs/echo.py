"""Variables of a LAMMPS input, parsed from the commands that LAMMPS echoes.

LAMMPS does not print its command line. But it echoes each command as written, and again after each substitution of a
value:

    replicate ${x} ${y}
    replicate 8 ${y}
    replicate 8 4
"""

from __future__ import annotations

import re

__all__ = ["Echo"]

MOST = 8

_REFERENCE = re.compile(rb"""\$(?:\{(\w+)\}|(\w))|[$#"']""")


class Echo:
    """Reads a log line by line, except the output of runs.

    Attributes
    ----------
    values
        The different values of each used variable, in order, as printed; at most `MOST` of each.
    """

    def __init__(self) -> None:
        self.values: dict[str, list[str]] = {}
        self._expected: tuple[bytes, str, bytes] | None = None

    def feed(self, line: bytes) -> None:
        line = line.rstrip()
        if self._expected is not None:
            before, name, after = self._expected
            if len(line) >= len(before + after) and line.startswith(before) and line.endswith(after):
                values = self.values.setdefault(name, [])
                value = _text(line[len(before) : len(line) - len(after)])
                if value not in values and len(values) < MOST:
                    values.append(value)
        self._expected = _reference(line)


def _reference(command: bytes) -> tuple[bytes, str, bytes] | None:
    """Return the first variable that LAMMPS will replace by its value: the text before it, its name, the text after it.

    LAMMPS doesn't replace variables in quotes, and omits comments when it echoes the command again.
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
                return None  # an expression, "$(…)", is replaced first
            found = match
    if found is None:
        return None
    return command[: found.start()], _text(found[1] or found[2]), command[found.end() :]


def _text(word: bytes) -> str:
    return word.decode("utf-8", "replace")
