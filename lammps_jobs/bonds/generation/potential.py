"""Embedded-atom potentials in LAMMPS's file formats: their pair style and elements."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lammps_jobs.bonds.errors import Refused
from lammps_jobs.runs.lammps_job import POTENTIAL, potentials

__all__ = ["Potential"]


@dataclass(frozen=True)
class Potential:
    """One potential.

    Attributes
    ----------
    path
        The file.
    style
        ``eam/fs`` (Finnis-Sinclair) if the file name ends in ``.fs``, otherwise ``eam/alloy``.
    elements
        Elements that it has parameters for.
    """

    path: Path
    style: str
    elements: tuple[str, ...]

    @classmethod
    def read(cls, path: Path | None = None) -> Potential:
        """Read a file's header: three comment lines, then the number of elements and their names.

        Parameters
        ----------
        path
            An eam/alloy or eam/fs file; None for the Cu-Zr potential of M. I. Mendelev that comes with LAMMPS.

        Raises
        ------
        Refused
            If the file has another format.
        OSError, LammpsNotFound
            If the file does not exist.
        """
        path = potentials() / POTENTIAL if path is None else path
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = [file.readline() for _ in range(4)]
        words = lines[3].split()
        if not words or not words[0].isdigit() or len(words) - 1 != int(words[0]):
            raise Refused(
                f"expected the number of elements and their names, as in eam/alloy and eam/fs files, found "
                f"{lines[3].strip()[:60]!r}",
                path,
                4,
            )
        return cls(path.resolve(), "eam/fs" if path.suffix == ".fs" else "eam/alloy", tuple(words[1:]))

    def require(self, elements: tuple[str, ...]) -> None:
        """Raise Refused unless the potential has parameters for all these elements."""
        if missing := [symbol for symbol in elements if symbol not in self.elements]:
            raise Refused(
                f"the potential knows {', '.join(self.elements)}, not {', '.join(missing)}: give another eam/alloy or "
                "eam/fs file with --potential",
                self.path,
            )
