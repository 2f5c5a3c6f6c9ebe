"""`Refused`: the error for files, structures and calculations that can't be used."""

from __future__ import annotations

import os

from lammps_jobs.bonds.types import BondsError

__all__ = ["Refused"]


class Refused(BondsError):
    """An input is not used, because models would learn or predict something wrong from it.

    The message is ``PATH:LINE: REASON``, as in compilers. Unknown parts are left out.

    Parameters
    ----------
    reason
        What is wrong, the value, what was expected, and what to do.
    path
        The file, or the directory of a calculation; None if there is neither.
    line
        The line in the file, counted from 1.
    """

    def __init__(self, reason: str, path: str | os.PathLike[str] | None = None, line: int | None = None) -> None:
        self.reason, self.line = reason, line
        self.path = None if path is None else os.fspath(path)
        place = "" if self.path is None else f"{self.path}: " if line is None else f"{self.path}:{line}: "
        super().__init__(place + reason)

    def __reduce__(self) -> tuple[type[Refused], tuple[str, str | None, int | None]]:
        # Workers send errors back as pickles. By default, the pickle would pass the whole message as the reason.
        return type(self), (self.reason, self.path, self.line)
