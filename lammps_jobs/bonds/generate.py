"""Making a metallic glass of any size by molecular dynamics: melt, quench, hold, all by the program LAMMPS."""

from __future__ import annotations

import math
import os
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, covalent_radii
from ase.io.lammpsdata import write_lammps_data

from lammps_jobs import processes
from lammps_jobs.bonds import structures
from lammps_jobs.bonds.composition import Composition
from lammps_jobs.bonds.errors import Refused
from lammps_jobs.bonds.potential import Potential
from lammps_jobs.log import read_log
from lammps_jobs.run import INPUTS, LOG, OUTPUT, Programs

__all__ = ["TIME_STEP", "Quench", "melt_quench", "random_start"]

TIME_STEP = 0.002
"""ps"""
DATA, DUMP, POTENTIAL = "start.data", "glass.dump", "potential"
_POLL_SECONDS = 0.2
_ROW = re.compile(rb"^ *(\d+) +[-\d.eE+ ]+$", re.MULTILINE)


@dataclass(frozen=True)
class Quench:
    """One glass to make.

    Attributes
    ----------
    composition, atoms
        What of, and how many atoms.
    potential
        By which they act on each other.
    seed
        Of the first positions and velocities: the same seed, LAMMPS and processes give the same cell.
    hot, cold
        K. It is molten at the one and ends at the other.
    melt, hold
        ps at the one temperature and at the other.
    rate
        K/ps, from the one to the other.
    processes
        MPI processes. One is best up to some thousand atoms.
    """

    composition: Composition
    atoms: int
    potential: Potential = field(default_factory=Potential.read)
    seed: int = 1
    hot: float = 2000.0
    cold: float = 300.0
    melt: float = 20.0
    hold: float = 10.0
    rate: float = 10.0
    processes: int = 1

    def __post_init__(self) -> None:
        if not 0.0 < self.cold < self.hot < math.inf:
            raise Refused(f"from {self.hot:g} K to {self.cold:g} K: expected two temperatures, the first one higher")
        if not (self.rate > 0.0 and self.melt >= 0.0 and self.hold >= 0.0) or not math.isfinite(self._time):
            raise Refused(
                f"a rate of {self.rate:g} K/ps after {self.melt:g} ps, then {self.hold:g} ps: expected a rate above 0 "
                "and times of at least 0"
            )
        if not 1 <= self.seed < 2**31:
            raise Refused(f"a seed of {self.seed}: expected 1 to {2**31 - 1}, which LAMMPS takes")
        self.potential.require(tuple(self.composition.shares))
        self.composition.counts(self.atoms)

    @property
    def steps(self) -> int:
        """Time steps in all."""
        return sum(self._stages().values())

    @property
    def _time(self) -> float:
        return self.melt + (self.hot - self.cold) / self.rate + self.hold

    def _stages(self) -> dict[str, int]:
        quench = (self.hot - self.cold) / self.rate
        times = {"melt": self.melt, "quench": quench, "hold": self.hold}
        return {name: round(time / TIME_STEP) for name, time in times.items()}

    def command(self, programs: Programs) -> list[str]:
        """The command line, for a directory with the files ``start.data`` and ``potential`` in it."""
        elements = list(self.composition.shares)
        variables = {
            "data": DATA, "style": self.potential.style, "potential": POTENTIAL, "seed": self.seed,
            "hot": self.hot, "cold": self.cold, **self._stages(), "every": max(1, min(1000, self.steps // 100)),
        }  # fmt: skip
        command = [str(programs.mpiexec), "-n", str(self.processes)] if self.processes > 1 else []
        command += [str(programs.lmp), "-in", str(INPUTS / "quench.in"), "-log", LOG, "-screen", "none"]
        for name, value in variables.items():
            command += ["-v", name, str(value)]
        return [*command, "-v", "elements", " ".join(elements)]


def random_start(quench: Quench) -> Atoms:
    """Atoms near the places of a cubic lattice, elements at random, at about the density of the solid.

    Nothing of it is left after melting; it only has to have no two atoms in one place.
    """
    counts = quench.composition.counts(quench.atoms)
    symbols = [symbol for symbol, count in counts.items() for _ in range(count)]
    # Spheres of the covalent radii fill some 60 % of a metal: close enough for a barostat to start from.
    volume = sum(4.0 / 3.0 * math.pi * covalent_radii[atomic_numbers[symbol]] ** 3 for symbol in symbols) / 0.75
    places = math.ceil(len(symbols) ** (1.0 / 3.0) - 1e-9)
    edge = volume ** (1.0 / 3.0)
    random = np.random.default_rng(quench.seed)
    chosen = random.permutation(places**3)[: len(symbols)]
    lattice = np.column_stack(np.unravel_index(chosen, (places, places, places))) + 0.5
    positions = (lattice + random.uniform(-0.15, 0.15, lattice.shape)) * edge / places
    return Atoms(symbols, positions=positions, cell=[edge, edge, edge], pbc=True)


def melt_quench(quench: Quench, directory: Path, programs: Programs, watch: Callable[[int], None]) -> Atoms:
    """Make the glass.

    Parameters
    ----------
    quench
        What to make.
    directory
        An existing directory for what LAMMPS reads and writes (``start.data``, ``log.lammps``, ``glass.dump``).
    programs
        Where LAMMPS is.
    watch
        Told how many of ``quench.steps`` are done, a few times a second.

    Returns
    -------
    Atoms
        Periodic, inside its cell, in Å; elements together, in the order of the composition.

    Raises
    ------
    Refused
        If LAMMPS did not complete, with what its log says, or what it made is no usable structure.
    """
    elements = list(quench.composition.shares)
    with open(directory / DATA, "w", encoding="ascii") as file:
        write_lammps_data(file, random_start(quench), specorder=elements, masses=True, atom_style="atomic")
    for name in (LOG, DUMP, POTENTIAL):
        (directory / name).unlink(missing_ok=True)
    # By a name of our own: a path may have spaces in it, which end a word in LAMMPS's input.
    (directory / POTENTIAL).symlink_to(quench.potential.path)
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with open(directory / OUTPUT, "wb") as output:
        process = processes.start(
            quench.command(programs), output, cwd=directory, environment=environment, end_with_parent=True
        )
        try:
            while not _ended(process):
                watch(_steps_done(directory / LOG))
        except BaseException:
            processes.end(process, grace=5)
            raise
    log = directory / LOG
    failure = read_log(log).failure if log.exists() else f"LAMMPS wrote no log (its output: {OUTPUT})"
    if failure is None and process.returncode != 0:
        failure = f"LAMMPS ended with exit code {process.returncode}"
    if failure is not None:
        raise Refused(f"no glass was made of {quench.composition.text}: {failure}", log)
    glass = structures.read(directory / DUMP)
    glass.set_celldisp([0.0, 0.0, 0.0])  # LAMMPS shrinks a box around its middle; only where atoms are in it matters.
    glass.wrap()
    return glass


def _ended(process: subprocess.Popen[bytes]) -> bool:
    try:
        process.wait(_POLL_SECONDS)
    except subprocess.TimeoutExpired:
        return False
    return True


def _steps_done(log: Path) -> int:
    """The last step that a log's end shows."""
    try:
        with open(log, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - 2000))
            rows = _ROW.findall(file.read())
    except FileNotFoundError:
        return 0
    return int(rows[-1]) if rows else 0
