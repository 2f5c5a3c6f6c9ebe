"""The job of `tblite`: set the torsion or distance, calculate, save the state for children."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import covalent_radii
from ase.io import read
from ase.units import Bohr, Hartree, kB
from tailrace.programs import Results, StepRefused, Table, Value, sha256_of

from lammps_jobs.bonds.structures.structure_files import write
from lammps_jobs.programs.not_converged import NotConverged

__all__ = ["run"]

STATE, STRUCTURE = "state.npz", "structure.xyz"
DEBYE = 0.20819434  # e Å
TOUCHING = 1.25
"""Two atoms are on the same side of a bond if they are closer than this times the sum of their covalent radii."""


def run(folder: Path, given: dict[str, Any]) -> Results:
    """Calculate one single point, and return its results. Raises NotConverged or StepRefused."""
    from tblite.exceptions import TBLiteRuntimeError, TBLiteValueError

    settings = given["settings"]
    atoms = _placed(_read(folder / STRUCTURE), settings)
    _require_parity(atoms, settings)
    said: list[str] = []
    try:
        calculator = _calculator(atoms, settings, said)
        state = _start(folder, given, settings)
        result = calculator.singlepoint(state) if state is not None else calculator.singlepoint()
    except (TBLiteRuntimeError, TBLiteValueError) as error:
        text = " ".join(str(error).split())
        if "not converged" in text:
            raise NotConverged(text, "scf-steps") from error
        raise StepRefused(f"tblite: {text}") from error
    finally:
        print("\n".join(said), flush=True)
    result.save(str(folder / STATE))
    write(folder / STRUCTURE, atoms)
    return _results(folder, atoms, result, said, started=state is not None)


def _read(path: Path) -> Atoms:
    atoms = read(io.StringIO(path.read_text(encoding="utf-8")), format="extxyz", index=0)
    assert isinstance(atoms, Atoms)
    return atoms


def _calculator(atoms: Atoms, settings: dict[str, Any], said: list[str]) -> Any:
    from tblite.interface import Calculator

    periodic = atoms.pbc if any(atoms.pbc) else None
    calculator = Calculator(
        settings["method"], atoms.numbers, atoms.positions / Bohr, float(settings["charge"]), settings["unpaired"],
        lattice=None if periodic is None else atoms.cell.array / Bohr, periodic=periodic, color=False, logger=said.append,
    )  # fmt: skip
    calculator.set("max-iter", settings["iterations"])
    calculator.set("mixer-damping", settings["mixing"])
    calculator.set("temperature", settings["temperature"] * kB / Hartree)
    return calculator


def _start(folder: Path, given: dict[str, Any], settings: dict[str, Any]) -> Any:
    """Return the parent's state; None: start from a guess."""
    from tblite.interface import Result

    if "start" not in given:
        return None
    if given["start_method"] != settings["method"]:
        raise StepRefused(
            f"the parent's state is of {given['start_method']}, this step uses {settings['method']}: set start to 'fresh'"
        )
    state = Result()
    state.load(str(folder / given["start"]))
    return state


def _results(folder: Path, atoms: Atoms, result: Any, said: list[str], *, started: bool) -> Results:
    charges = result.get("charges")
    symbols = atoms.get_chemical_symbols()
    values = {
        "energy": Value(float(result.get("energy")) * Hartree, "eV"),
        "iterations": Value(sum(line.split()[:1] != [] and line.split()[0].isdigit() for line in said)),
        "largest force": Value(float(np.abs(result.get("gradient")).max()) * Hartree / Bohr, "eV/Å"),
        "started from": Value("the parent's state" if started else "a guess"),
        "state_sha256": Value(sha256_of(folder / STATE)),
        "structure_sha256": Value(sha256_of(folder / STRUCTURE)),
    }
    tables = {
        "charges": Table(
            {"atom": "", "element": "", "charge": "e"},
            [[number, symbol, float(q)] for number, (symbol, q) in enumerate(zip(symbols, charges, strict=True), 1)],
        ),
    }
    if not any(atoms.pbc):  # a periodic cell has no dipole without a choice of its boundaries
        dipole = result.get("dipole") * Bohr
        values["dipole"] = Value(float(np.linalg.norm(dipole)), "e Å")
        values["dipole in debye"] = Value(float(np.linalg.norm(dipole)) / DEBYE, "D")
        tables["dipole"] = Table({"x": "e Å", "y": "e Å", "z": "e Å"}, [dipole.tolist()])
    return Results(values, tables)


def _require_parity(atoms: Atoms, settings: dict[str, Any]) -> None:
    electrons = int(atoms.numbers.sum()) - settings["charge"]
    if electrons < settings["unpaired"] or (electrons - settings["unpaired"]) % 2:
        raise StepRefused(
            f"charge {settings['charge']} leaves {electrons} electrons, of which {settings['unpaired']} can't be unpaired: "
            f"expected an {'odd' if electrons % 2 else 'even'} number (unpaired)"
        )


def _placed(atoms: Atoms, settings: dict[str, Any]) -> Atoms:
    for name in ("torsion_atoms", "distance_atoms"):
        for number in settings.get(name, ()):
            if number > len(atoms):
                raise StepRefused(f"{name} has atom {number}: the structure has {len(atoms)}")
        if len(set(settings.get(name, ()))) != len(settings.get(name, ())):
            raise StepRefused(f"{name} is {settings[name]}: expected different atoms")
    if "torsion" in settings:
        a, b, c, d = (number - 1 for number in settings["torsion_atoms"])
        atoms.set_dihedral(a, b, c, d, settings["torsion"], mask=_side(atoms, b, c, "torsion_atoms"))
    if "distance" in settings:
        a, b = (number - 1 for number in settings["distance_atoms"])
        atoms.set_distance(a, b, settings["distance"], fix=0, mask=_side(atoms, a, b, "distance_atoms"))
    return atoms


def _side(atoms: Atoms, fixed: int, moving: int, name: str) -> list[bool]:
    """Return which atoms are connected with `moving` without the bond to `fixed`."""
    radii = covalent_radii[atoms.numbers]
    distances = np.linalg.norm(atoms.positions[:, None] - atoms.positions[None], axis=2)
    bonded = distances < TOUCHING * (radii[:, None] + radii[None])
    bonded[fixed, moving] = bonded[moving, fixed] = False
    found, waiting = {moving}, [moving]
    while waiting:
        for other in np.flatnonzero(bonded[waiting.pop()]).tolist():
            if other not in found:
                found.add(other)
                waiting.append(other)
    if fixed in found:
        raise StepRefused(f"{name}: atoms {fixed + 1} and {moving + 1} are in a ring, so neither side can move alone")
    return [number in found for number in range(len(atoms))]
