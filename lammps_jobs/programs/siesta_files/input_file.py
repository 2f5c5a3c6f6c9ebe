"""Writes the ``.fdf`` input of SIESTA, with names that versions 4.0, 4.1 and 5 all know."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lammps_jobs.programs.extended_xyz import Structure
from lammps_jobs.programs.masses import atomic_number_of

__all__ = ["LABEL", "fdf"]

LABEL = "step"


def fdf(
    settings: Mapping[str, Any], structure: Structure, *, from_density: bool, seconds: int | None, more: str = ""
) -> str:
    """Return the input of a calculation.

    Parameters
    ----------
    settings
        The step's parameters.
    structure
        The atoms. Without a cell, SIESTA makes a box.
    from_density
        Whether it starts from a density matrix in the step's folder.
    seconds
        Time limit of the job; SIESTA stops by itself a tenth of it earlier. None: none.
    more
        Lines of the site. In fdf the first line with a name counts, so they change nothing of the above.
    """
    elements = structure.elements
    rows = {
        "SystemName": LABEL, "SystemLabel": LABEL, "NumberOfAtoms": len(structure.atoms), "NumberOfSpecies": len(elements),
        "PAO.BasisSize": settings["basis"], "MeshCutoff": f"{settings['mesh_cutoff']} Ry", "XC.functional":
        settings["functional"].split("-")[0], "XC.authors": settings["functional"].split("-")[1],
        "NetCharge": settings["charge"], "ElectronicTemperature": f"{settings['temperature']} K",
        "MaxSCFIterations": settings["iterations"], "DM.Tolerance": settings["threshold"],
        "DM.MixingWeight": settings["mixing"], "DM.NumberPulay": settings["history"], "SCF.MustConverge": "true",
        "DM.UseSaveDM": "true" if from_density else "false", "WriteForces": "true", "WriteMDXmol": "true",
        "WriteCoorStep": "true",
    }  # fmt: skip
    if seconds is not None:
        rows["MaxWalltime"] = f"{max(1.0, 0.9 * seconds):g} s"
    if settings["calculation"] == "relax":
        rows |= {
            "MD.TypeOfRun": "CG", "MD.NumCGsteps": settings["relax_steps"],
            "MD.MaxForceTol": f"{settings['force_tolerance']} eV/Ang", "GeometryMustConverge": "true",
        }  # fmt: skip
    blocks = [f"{name} {value}" for name, value in rows.items()]
    species = [f"{number} {atomic_number_of(one)} {one}" for number, one in enumerate(elements, start=1)]
    blocks += _block("ChemicalSpeciesLabel", species)
    if structure.cell is not None:
        blocks.append("LatticeConstant 1.0 Ang")
        blocks += _block("LatticeVectors", [" ".join(f"{x:.10f}" for x in vector) for vector in structure.cell])
    blocks.append("AtomicCoordinatesFormat Ang")
    atoms = [
        f"{' '.join(f'{x:.10f}' for x in atom.position)} {elements.index(atom.symbol) + 1}" for atom in structure.atoms
    ]
    blocks += _block("AtomicCoordinatesAndAtomicSpecies", atoms)
    grid = settings["kpoints"]
    if grid != [1, 1, 1]:
        blocks += _block("kgrid_Monkhorst_Pack", [f"{grid[0]} 0 0 0.0", f"0 {grid[1]} 0 0.0", f"0 0 {grid[2]} 0.0"])
    if settings.get("field"):
        field = ["0.0"] * 3
        field["xyz".index(settings["field_direction"])] = f"{settings['field']:.8f}"
        blocks += _block("ExternalElectricField", [f"{' '.join(field)} V/Ang"])
    return "\n".join([*blocks, more]) + "\n"


def _block(name: str, rows: list[str]) -> list[str]:
    return [f"%block {name}", *(f"  {row}" for row in rows), f"%endblock {name}"]
