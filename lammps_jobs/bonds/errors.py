"""What is raised where a file, a structure or a calculation can't be used."""

from __future__ import annotations

import os

from lammps_jobs.bonds.types import BondsError

__all__ = ["Refused"]


class Refused(BondsError):
    """An input that is not used, because using it would teach or tell something wrong.

    The message is ``PATH:LINE: REASON``, as compilers and editors have it, without what isn't known.

    Parameters
    ----------
    reason
        What is wrong, with the value, what was expected, and what to do about it.
    path
        The file, or the directory of a calculation; None for something that was never in one.
    line
        Its line, counted from 1.
    """

    def __init__(self, reason: str, path: str | os.PathLike[str] | None = None, line: int | None = None) -> None:
        self.reason, self.line = reason, line
        self.path = None if path is None else os.fspath(path)
        place = "" if self.path is None else f"{self.path}: " if line is None else f"{self.path}:{line}: "
        super().__init__(place + reason)

    def __reduce__(self) -> tuple[type[Refused], tuple[str, str | None, int | None]]:
        # An exception's own way would hand the whole message over as the reason: workers send theirs back pickled.
        return type(self), (self.reason, self.path, self.line)
