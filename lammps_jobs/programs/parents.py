"""What a step takes from its parents: a structure, or a density or state to start from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from tailrace.programs import Parent, Step, StepRefused, copy_checked, sha256_of

from lammps_jobs.programs.extended_xyz import Structure, extended_xyz, structure_of
from lammps_jobs.programs.rotation import turned

__all__ = [
    "STRUCTURE",
    "STRUCTURE_SHA256",
    "atoms_of",
    "left_structure",
    "parent_with",
    "require_structure",
    "start_from_parent",
    "structure_text",
    "turned_structure",
    "write_turned_structure",
]

STRUCTURE, STRUCTURE_SHA256 = "structure.xyz", "structure_sha256"


def parent_with(step: Step, value: str, what: str) -> Parent | None:
    """Return the parent whose results have a value, such as the checksum of its density; None if no parent has it.

    Raises
    ------
    StepRefused
        If several parents have it. `what` is its name for the message, such as ``density``.
    """
    parents = [one for one in step.parents if value in (one.results.get("values") or {})]
    if len(parents) > 1:
        names = ", ".join(one.name for one in parents)
        raise StepRefused(f"the parents {names} each left a {what}: expected one of them")
    return parents[0] if parents else None


def structure_text(step: Step) -> str | None:
    """Return the step's structure, or else that of its parent, as extended XYZ; None if there is none.

    Raises
    ------
    StepRefused
        If several parents left one, or the file is not the one that the parent's results name.
    """
    if step.structure is not None:
        return step.structure
    parent = parent_with(step, STRUCTURE_SHA256, "structure")
    if parent is None:
        return None
    path = parent.folder / STRUCTURE
    try:
        found = sha256_of(path)
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        raise StepRefused(f"{path} can't be read: run the step {parent.name!r} again") from None
    if found != parent.value(STRUCTURE_SHA256):
        raise StepRefused(f"{path} was changed or cut off: run the step {parent.name!r} again")
    return text


def left_structure(folder: Path) -> tuple[str, ...]:
    """Return the name of the structure that a step leaves in its folder, as a file to upload; empty if it left none."""
    return (STRUCTURE,) if (folder / STRUCTURE).is_file() else ()


def atoms_of(step: Step) -> int:
    """Return the number of atoms of the step's structure, or of that of its parent; 0 if there is none to be read."""
    try:
        return replace(step, structure=structure_text(step)).atoms
    except StepRefused:
        return 0


def require_structure(step: Step) -> str:
    """Return the structure, like `structure_text`. Raises StepRefused if there is none, too."""
    text = structure_text(step)
    if text is None:
        raise StepRefused("the step has no structure, and no parent left one: choose one")
    return text


def turned_structure(step: Step) -> Structure:
    """Return the structure, turned by the parameters ``rotation`` and ``rotation_axis``. Raises StepRefused."""
    settings: Mapping[str, Any] = step.settings
    structure = structure_of(replace(step, structure=require_structure(step)))
    return turned(structure, settings.get("rotation", 0), settings.get("rotation_axis", "z"))


def write_turned_structure(step: Step, folder: Path) -> Structure:
    """Write the turned structure into the folder, and return it. Raises StepRefused."""
    structure = turned_structure(step)
    (folder / STRUCTURE).write_text(extended_xyz(structure), encoding="utf-8")
    return structure


def start_from_parent(
    step: Step, folder: Path, files: Mapping[str, str], same: Iterable[str], what: str
) -> Parent | None:
    """Copy the files that the parent left to start from, and return the parent; None if the step starts from atoms.

    Parameters
    ----------
    files
        Paths below the folders, and the values of the parent's results with their checksums, that of the density first.
    same
        Names of parameters that must be those of the parent.
    what
        What is handed on, such as ``density``.

    Raises
    ------
    StepRefused
        If several parents left it, a parameter differs, or a file is missing or was changed.
    """
    settings = step.settings
    parent = None if settings["start"] == "atoms" else parent_with(step, next(iter(files.values())), what)
    if parent is None:
        return None
    for name in same:
        before, now = parent.parameters.get(name), settings.get(name)
        if before != now:
            raise StepRefused(
                f"{name} is {now}, and the {what} of the parent {parent.name!r} has {before}: set it alike, or start 'atoms'"
            )
    for path, checksum in files.items():
        copy_checked(parent.folder / path, folder / path, parent.value(checksum))
    return parent
