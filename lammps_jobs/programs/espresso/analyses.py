"""Analyses of pw.x: a picture of the bands, and the gap."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from tailrace.programs import Report, Results, Step, StepRefused, Value

from lammps_jobs.programs.pictures import Curve, draw

__all__ = ["bands", "gap"]

PICTURE = "bands.png"
EMPTY, FULL = 0.01, 0.99


def bands(step: Step, folder: Path, results: Results) -> Report:
    """Draw the eigenvalues along the k-points. Raises StepRefused if there is only one k-point."""
    rows = _rows(results)
    points = {row[0]: row[1:4] for row in rows}
    if len(points) < 2:
        raise StepRefused("there is one k-point only: a picture of bands needs more, as with calculation 'bands'")
    lengths, before, length = {}, None, 0.0
    for number, place in points.items():
        length += 0.0 if before is None else math.dist(before, place)
        lengths[number], before = length, place
    curves: dict[int, tuple[list[float], list[float]]] = {}
    for row in rows:
        x, y = curves.setdefault(row[4], ([], []))
        x.append(lengths[row[0]])
        y.append(row[5])
    drawn = [Curve(f"band {band}", x, y) for band, (x, y) in curves.items()]
    draw(folder / PICTURE, drawn, x="path, 1/Å", y="energy, eV", one_colour=True)
    return Report({"number of bands": Value(len(curves)), "number of k-points": Value(len(points))}, files=(PICTURE,))


def gap(step: Step, folder: Path, results: Results) -> Report:
    """Return the highest occupied and the lowest empty level. Raises StepRefused if there are no empty levels."""
    rows = _rows(results)
    occupied, empty = [row[5] for row in rows if row[6] > FULL], [row[5] for row in rows if row[6] < EMPTY]
    if not occupied or not empty:
        raise StepRefused("there are no empty levels: set bands to more than half the number of electrons")
    top, bottom = max(occupied), min(empty)
    values = {"highest occupied": top, "lowest empty": bottom, "gap": bottom - top}
    return Report({name: Value(value, "eV") for name, value in values.items()})


def _rows(results: Results) -> list[Any]:
    if "bands" not in results.tables:
        raise StepRefused("the results have no table of bands")
    return list(results.tables["bands"].rows)
