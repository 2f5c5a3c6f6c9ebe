"""The analysis `energy-profile`: energies of a chain against the parameter that differs."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from tailrace.programs import Parent, Report, Results, Step, StepRefused, Table, Value

from lammps_jobs.programs.pictures import Curve, draw

__all__ = ["energy_profile"]

PICTURE, POINTS = "energy-profile.png", "energy-profile.json"
MOST = 1000


def energy_profile(step: Step, folder: Path, results: Results) -> Report:
    """Return the energies of this step and of all steps before it, relative to the lowest, as a table and a picture.

    A step has only its parents at hand. So each leaves the points up to it in a file, from which its children go on. The
    last step of a chain has the whole profile.

    Raises
    ------
    StepRefused
        If the step has no energy or several parents with one, or if more than one numeric parameter differs.
    """
    if "energy" not in results.values:
        raise StepRefused("the step has no energy")
    unit = results.values["energy"].unit
    points = [*_before(step), {"parameters": _numbers(step.parameters), "energy": results.values["energy"].value}]
    (folder / POINTS).write_text(json.dumps(points[-MOST:]), encoding="utf-8")
    if len(points) == 1:
        return Report(report="This is the first step. The profile is in the later ones.")
    name = _scanned(points)
    lowest = min(point["energy"] for point in points)
    rows = [[point["parameters"][name], point["energy"], point["energy"] - lowest] for point in points]
    ordered = sorted(rows)
    curve = Curve("", [row[0] for row in ordered], [row[2] for row in ordered])
    draw(folder / PICTURE, [curve], x=name, y=f"energy above the lowest, {unit}", marks=True)
    table = Table({name: "", "energy": unit, "above the lowest": unit}, rows)
    height = Value(max(row[2] for row in rows), unit)
    return Report({"height of the profile": height}, {"energies of the chain": table}, (PICTURE,))


def _before(step: Step) -> list[dict[str, Any]]:
    """Return the points of the steps before this one, the first one first."""
    parents = [one for one in step.parents if "energy" in (one.results.get("values") or {})]
    if len(parents) > 1:
        raise StepRefused(f"the step has {len(parents)} parents with an energy: expected one, as in a chained scan")
    if not parents:
        return []
    own = {"parameters": _numbers(parents[0].parameters), "energy": parents[0].value("energy")}
    return _points(parents[0], own) or [own]


def _points(parent: Parent, last: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the points that a parent left; none if it left none that end with its own energy."""
    try:
        points = json.loads((parent.folder / POINTS).read_text(encoding="utf-8"))
        usable = all(math.isfinite(one["energy"]) and isinstance(one["parameters"], dict) for one in points)
        return list(points) if usable and points[-1]["energy"] == last["energy"] else []
    except (OSError, ValueError, TypeError, LookupError):
        return []


def _numbers(parameters: Any) -> dict[str, Any]:
    return {
        name: value
        for name, value in parameters.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool)
    }


def _scanned(points: list[dict[str, Any]]) -> str:
    """Return the numeric parameter that differs between the points."""
    common = set.intersection(*(set(point["parameters"]) for point in points))
    names = sorted(name for name in common if len({point["parameters"][name] for point in points}) > 1)
    if len(names) != 1:
        said = ", ".join(names) or "none"
        raise StepRefused(f"numeric parameters that differ in the chain: {said}; expected one, as in a scan")
    return names[0]
