"""Finds the site's pseudopotential of an element. No name of a file comes from a step."""

from __future__ import annotations

import re
from pathlib import Path

from tailrace.programs import ProgramUnavailable, StepRefused

__all__ = ["Pseudopotentials"]

SUFFIXES = (".upf", ".gth", ".vdb", ".rrkj3", ".pz", ".ncpp")
_NAME = re.compile(r"([A-Za-z]{1,2})(?:[._\-].*)$")


class Pseudopotentials:
    """A folder with pseudopotentials, whose names start with the element: ``Li.gth``, ``li_pbe_v1.4.uspp.F.UPF``.

    Parameters
    ----------
    folder
        The folder.

    Raises
    ------
    ProgramUnavailable
        If the folder is missing or holds no pseudopotentials.
    """

    def __init__(self, folder: Path, suffixes: tuple[str, ...] = SUFFIXES) -> None:
        if not folder.is_dir():
            raise ProgramUnavailable(f"pseudopotentials is {str(folder)!r}: expected an existing folder")
        self.folder = folder
        self._files: dict[str, list[Path]] = {}
        for path in sorted(folder.iterdir()):
            found = _NAME.match(path.name)
            if found is not None and path.is_file() and path.suffix.lower() in suffixes:
                self._files.setdefault(found[1].capitalize(), []).append(path)
        if not self._files:
            raise ProgramUnavailable(
                f"{folder} holds no pseudopotentials: expected files such as Li.upf, named by their element"
            )

    def of(self, element: str) -> Path:
        """Return the file of an element. Raises StepRefused if there is none, or more than one."""
        found = self._files.get(element, [])
        if not found:
            known = ", ".join(sorted(self._files))
            raise StepRefused(f"the site has no pseudopotential of {element}: it has {known}")
        if len(found) > 1:
            names = ", ".join(path.name for path in found)
            raise StepRefused(
                f"the site has several pseudopotentials of {element} ({names}): its folder must hold one each"
            )
        return found[0]
