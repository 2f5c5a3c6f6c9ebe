"""Writes the input of pw.x."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tailrace.programs import StepRefused

from lammps_jobs.programs.extended_xyz import Structure
from lammps_jobs.programs.masses import mass_of

__all__ = ["OUTDIR", "PREFIX", "cell_block", "pw_input"]

OUTDIR, PREFIX = "out", "pwscf"


def pw_input(
    settings: Mapping[str, Any],
    structure: Structure,
    files: Mapping[str, str],
    *,
    from_density: bool,
    seconds: int | None,
) -> str:
    """Return the input of a calculation.

    Parameters
    ----------
    settings
        The step's parameters.
    structure
        Periodic in all directions.
    files
        Element to the name of its pseudopotential in the step's folder.
    from_density
        Whether it starts from a density in the step's folder.
    seconds
        Time limit of the job. pw.x stops by itself a tenth of it earlier, so that its files are complete. None: none.
    """
    kind = settings["calculation"]
    control: dict[str, Any] = {
        "calculation": kind, "prefix": PREFIX, "outdir": f"./{OUTDIR}", "pseudo_dir": "./", "disk_io": "low",
        "tprnfor": kind == "scf",
    }  # fmt: skip
    if seconds is not None:
        control["max_seconds"] = max(1.0, 0.9 * seconds)
    elements = structure.elements
    system: dict[str, Any] = {
        "ibrav": 0, "nat": len(structure.atoms), "ntyp": len(elements), "ecutwfc": settings["ecutwfc"],
        "ecutrho": settings.get("ecutrho", 4 * settings["ecutwfc"]), "tot_charge": settings["charge"],
        "occupations": settings["occupations"],
    }  # fmt: skip
    if settings["occupations"] == "smearing":
        system |= {"smearing": "marzari-vanderbilt", "degauss": settings["smearing_width"]}
    if settings.get("bands"):
        system["nbnd"] = settings["bands"]
    if settings.get("functional"):
        system["input_dft"] = settings["functional"]
    if "field" in settings:
        # A saw-tooth potential with a dipole correction; its steep part is in the vacuum of the cell.
        control |= {"tefield": True, "dipfield": True}
        system |= {
            "edir": "xyz".index(settings["field_direction"]) + 1, "emaxpos": settings["field_end"], "eopreg": 0.1,
            "eamp": settings["field"],
        }  # fmt: skip
    electrons = {
        "electron_maxstep": settings["iterations"], "conv_thr": settings["threshold"],
        "mixing_beta": settings["mixing"], "startingpot": "file" if from_density else "atomic",
    }  # fmt: skip
    blocks = [_namelist("CONTROL", control), _namelist("SYSTEM", system), _namelist("ELECTRONS", electrons)]
    if kind == "relax":
        blocks.append(_namelist("IONS", {}))
    blocks.append("ATOMIC_SPECIES\n" + "\n".join(f"{one} {mass_of(one):.4f} {files[one]}" for one in elements))
    blocks.append(cell_block(structure))
    blocks.append("ATOMIC_POSITIONS angstrom\n" + "\n".join(
        f"{atom.symbol} {atom.position[0]:.10f} {atom.position[1]:.10f} {atom.position[2]:.10f}" for atom in structure.atoms
    ))  # fmt: skip
    blocks.append(_kpoints(settings))
    return "\n".join(blocks) + "\n"


def cell_block(structure: Structure) -> str:
    """Return the lines that declare the cell."""
    if structure.cell is None or not all(structure.periodic):
        raise StepRefused("the structure has no cell that repeats in all directions: put the molecule into a box")
    rows = "\n".join(" ".join(f"{x:.10f}" for x in vector) for vector in structure.cell)
    return f"CELL_PARAMETERS angstrom\n{rows}"


def _kpoints(settings: Mapping[str, Any]) -> str:
    if settings["calculation"] == "bands":
        corners, each = settings.get("path", []), settings["path_points"]
        if len(corners) < 6 or len(corners) % 3:
            raise StepRefused(f"path has {len(corners)} numbers: expected three for each of at least two k-points")
        points = [corners[start : start + 3] for start in range(0, len(corners), 3)]
        rows = [
            f"{x:.8f} {y:.8f} {z:.8f} {each if one + 1 < len(points) else 1}" for one, (x, y, z) in enumerate(points)
        ]
        return "\n".join(["K_POINTS crystal_b", str(len(points)), *rows])
    grid = settings["kpoints"]
    if grid == [1, 1, 1]:
        return "K_POINTS gamma"
    return f"K_POINTS automatic\n{grid[0]} {grid[1]} {grid[2]} 0 0 0"


def _namelist(name: str, content: Mapping[str, Any]) -> str:
    return "\n".join([f"&{name}", *(f"  {key} = {_value(value)}" for key, value in content.items()), "/"])


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return ".true." if value else ".false."
    if isinstance(value, str):
        return f"'{value}'"
    return repr(value).replace("e", "d") if isinstance(value, float) else str(value)
