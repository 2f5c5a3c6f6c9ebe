"""LAMMPS inputs of a sweep: the files that they read, and their variables."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lammps_jobs.runs.lammps_job import INPUTS, POTENTIAL, LammpsNotFound, potentials

__all__ = ["Input", "InputNotFound", "adapted", "find_input"]

EXAMPLES = "/usr/share/lammps/examples"
HNS_FILES = ("data.hns-equil", "ffield.reax.hns")


class InputNotFound(Exception):
    """An input or one of its files was not found. The message says where it was searched and how to get it."""


@dataclass(frozen=True)
class Input:
    """A LAMMPS input.

    Attributes
    ----------
    file
        Its file name.
    content
        Its text.
    beside
        Files that it reads.
    takes
        Parameter of the sweep to the variable of the input. Each is set with ``-v``.
    gives
        More variables with the same values for every job.
    seeded
        Whether it has a variable ``seed``.
    """

    file: str
    content: str
    beside: tuple[Path, ...] = ()
    takes: Mapping[str, str] = field(default_factory=lambda: {"x": "x", "y": "y", "z": "z", "steps": "steps"})
    gives: Mapping[str, str] = field(default_factory=dict)
    seeded: bool = False

    def variables(self, point: Mapping[str, int], seed: int) -> dict[str, str]:
        """Return the variables of a job, which are set with ``-v``."""
        given = {name: str(point[parameter]) for parameter, name in self.takes.items() if parameter in point}
        return given | ({"seed": str(seed)} if self.seeded else {}) | dict(self.gives)

    def put(self, directory: Path) -> None:
        """Create a directory with the input and the files that it reads."""
        directory.mkdir(parents=True, exist_ok=True)
        (directory / self.file).write_text(self.content, encoding="utf-8")
        for path in self.beside:
            target = directory / path.name
            if not target.exists():
                target.write_bytes(path.read_bytes())

    @property
    def files(self) -> list[str]:
        """The names of all files that a job needs."""
        return [self.file, *(path.name for path in self.beside)]


def find_input(name: str, *, contained: bool = False) -> Input:
    """Return the input ``melt`` or ``hns``, or the user's own input at this path, with the variables x, y, z and steps.

    If `contained`, the input runs in a container, which brings the potentials.

    Raises
    ------
    InputNotFound
        If the input or one of its files was not found.
    """
    if name == "melt":
        return _melt(contained)
    if name == "hns":
        return _hns()
    path = Path(name)
    if not path.is_file():
        raise InputNotFound(f"{name!r} is not an input: expected melt, hns, or the path of a LAMMPS input")
    return Input(path.name, path.read_text(encoding="utf-8"))


def _melt(contained: bool) -> Input:
    try:
        beside: tuple[Path, ...] = (potentials() / POTENTIAL,)
    except LammpsNotFound as error:
        if not contained:
            raise InputNotFound(str(error)) from None
        beside = ()  # LAMMPS_POTENTIALS is set in the image.
    content = (INPUTS / "melt.in").read_text(encoding="utf-8")
    return Input("melt.in", content, beside, gives={"potential": POTENTIAL}, seeded=True)


def _hns() -> Input:
    examples = Path(os.environ.get("LAMMPS_EXAMPLES") or EXAMPLES)
    directory = examples / "reaxff" / "HNS"
    found: Path | None = next((path for path in sorted(directory.glob("in.reax*.hns"))), None)
    missing = [name for name in HNS_FILES if not (directory / name).is_file()]
    if found is None or missing:
        raise InputNotFound(
            f"the HNS benchmark is not in {directory}: install LAMMPS's examples (Debian: apt-get install "
            "lammps-examples), or set LAMMPS_EXAMPLES to their directory"
        )
    takes = {"x": "x", "y": "y", "z": "z", "steps": "t"}
    beside = tuple(directory / name for name in HNS_FILES)
    return Input("in.hns", adapted(found.read_text(encoding="utf-8")), beside, takes)


def adapted(content: str) -> str:
    """Return the HNS input of any version of LAMMPS, changed for LAMMPS since 2021. `run` uses the variable ``t``."""
    for old, new in ((r"\breax/c\b", "reaxff"), (r"\bqeq/reax\b(?!ff)", "qeq/reaxff")):
        content = re.sub(old, new, content)
    content = re.sub(r"(?m)^box\b.*\n", "", content)
    return re.sub(r"(?m)^run\s+\d+\s*$", "run ${t}", content)
