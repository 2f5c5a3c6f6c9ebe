"""Generation of a metallic glass of any size by molecular dynamics with LAMMPS: melt, quench and hold."""

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

from lammps_jobs.bonds.errors import Refused
from lammps_jobs.bonds.generation.composition import Composition
from lammps_jobs.bonds.generation.potential import Potential
from lammps_jobs.bonds.structures import structure_files
from lammps_jobs.logs.log_reader import read_log
from lammps_jobs.runs import processes
from lammps_jobs.runs.lammps_job import INPUTS, LOG, OUTPUT, Programs

__all__ = ["TIME_STEP", "Quench", "melt_quench", "random_start"]

TIME_STEP = 0.002
"""ps"""
MINIMIZATION = 1000
"""Most iterations of the minimization before the run, as `quench.in` has them. Progress counts them all as done once it ends."""
DATA, DUMP, POTENTIAL = "start.data", "glass.dump", "potential"
_POLL_SECONDS = 0.2
_TAIL = 100_000
"""Bytes of a log that are searched for the last step: more than a minimization prints."""
_ROW = re.compile(rb"^ *(\d+) +[-\d.eE+ ]+$", re.MULTILINE)


@dataclass(frozen=True)
class Quench:
    """One glass to make.

    Attributes
    ----------
    composition, atoms
        Composition, and number of atoms.
    potential
        The interatomic potential.
    seed
        Seed of the initial positions and velocities. The same seed, LAMMPS and number of processes give the same cell.
    hot, cold
        Temperature of the melt, and the final one, K.
    melt, hold
        Time at the temperature of the melt, and at the final one, ps.
    rate
        Rate of the quench, K/ps.
    processes
        MPI processes. One is best up to several thousand atoms.
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
        """Total number of time steps."""
        return sum(self._stages().values())

    @property
    def work(self) -> int:
        """Total of the minimization's iterations, at most, and the time steps: what progress is measured by."""
        return MINIMIZATION + self.steps

    @property
    def _time(self) -> float:
        return self.melt + (self.hot - self.cold) / self.rate + self.hold

    def _stages(self) -> dict[str, int]:
        quench = (self.hot - self.cold) / self.rate
        times = {"melt": self.melt, "quench": quench, "hold": self.hold}
        return {name: round(time / TIME_STEP) for name, time in times.items()}

    def command(self, programs: Programs) -> list[str]:
        """Return the command line. It runs in a directory with the files ``start.data`` and ``potential``."""
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
    """Return atoms near the sites of a cubic lattice, with random elements, at about the density of the solid.

    The melt doesn't depend on the lattice. It only keeps atoms from overlapping.
    """
    counts = quench.composition.counts(quench.atoms)
    symbols = [symbol for symbol, count in counts.items() for _ in range(count)]
    # Spheres of the covalent radii fill about 60 % of a metal: close enough to start a barostat.
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
        Parameters of the glass.
    directory
        An existing directory for the files of LAMMPS (``start.data``, ``log.lammps``, ``glass.dump``).
    programs
        Paths of LAMMPS and mpiexec.
    watch
        Called a few times per second with the work done, of ``quench.work``.

    Returns
    -------
    Atoms
        Periodic, inside its cell, in Å. Atoms of an element are together, in the order of the composition.

    Raises
    ------
    Refused
        If LAMMPS did not complete, with the reason from its log, or if the result is not a usable structure.
    """
    elements = list(quench.composition.shares)
    with open(directory / DATA, "w", encoding="ascii") as file:
        write_lammps_data(file, random_start(quench), specorder=elements, masses=True, atom_style="atomic")
    for name in (LOG, DUMP, POTENTIAL):
        (directory / name).unlink(missing_ok=True)
    # A copy with a fixed name: the path may contain spaces, which separate words in LAMMPS's input.
    (directory / POTENTIAL).symlink_to(quench.potential.path)
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with open(directory / OUTPUT, "wb") as output:
        process = processes.start(
            quench.command(programs), output, cwd=directory, environment=environment, end_with_parent=True
        )
        try:
            while not _ended(process):
                watch(_work_done(directory / LOG))
        except BaseException:
            processes.end(process, grace=5)
            raise
    log = directory / LOG
    failure = read_log(log).failure if log.exists() else f"LAMMPS wrote no log (its output: {OUTPUT})"
    if failure is None and process.returncode != 0:
        failure = f"LAMMPS ended with exit code {process.returncode}"
    if failure is not None:
        raise Refused(f"no glass was made of {quench.composition.text}: {failure}", log)
    glass = structure_files.read(directory / DUMP)
    glass.set_celldisp(
        [0.0, 0.0, 0.0]
    )  # LAMMPS shrinks a box around its centre; only the positions relative to the box matter.
    glass.wrap()
    return glass


def _ended(process: subprocess.Popen[bytes]) -> bool:
    try:
        process.wait(_POLL_SECONDS)
    except subprocess.TimeoutExpired:
        return False
    return True


def _work_done(log: Path) -> int:
    """Return the work done, by the last step at the end of a log: of the minimization, or of the run after it."""
    try:
        with open(log, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL))
            _, minimize, end = file.read().rpartition(b"minimize")
    except FileNotFoundError:
        return 0
    _, reset, run = end.rpartition(b"reset_timestep")
    rows = _ROW.findall(run)
    last = int(rows[-1]) if rows else 0
    if minimize and not reset:
        return min(last, MINIMIZATION)
    return MINIMIZATION + last if rows or reset else 0
