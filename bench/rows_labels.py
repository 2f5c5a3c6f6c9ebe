"""How well labels by tight binding follow those of DFT, on a cell that has both."""

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bench.context import Context
from bench.rows import SPECS, Row

CELL = Path(__file__).resolve().parents[2] / "shared" / "data" / "bonds" / "Zr49Cu49Al2-21-00"


def labels(context: Context) -> Iterator[Row]:
    """Label a reference cell anew, and correlate bond by bond with what LOBSTER said, for each bond type."""
    spec = SPECS["labels"]
    if not CELL.is_dir():
        context.tick()
        yield Row(spec, error=f"no data: {CELL.name} is expected in ../shared/data/bonds beside the repository")
        return
    from lammps_jobs.bonds.labels import calculation
    from lammps_jobs.bonds.labels.tblite_labels import label
    from lammps_jobs.bonds.types import bond_type

    cell = calculation.check(CELL)
    before = time.perf_counter()
    ours = {(bond.i, bond.j, bond.translation): bond for bond in label(cell.structure)}
    seconds = time.perf_counter() - before
    pairs: dict[str, list[tuple[float, float]]] = {}
    for bond in cell.bonds:
        strength = -ours[bond.i, bond.j, bond.translation].icohp
        pairs.setdefault(bond_type(*bond.elements), []).append((strength, -bond.icohp))
    found = {kind: float(np.corrcoef(np.array(own).T)[0, 1]) for kind, own in sorted(pairs.items()) if len(own) > 2}
    note = ", ".join(f"{kind} {value:.2f}" for kind, value in found.items()) + f"; {seconds:.0f} s"
    context.tick()
    yield Row(
        spec,
        min(found.values()),
        note,
        {"correlation": found, "bonds": {kind: len(own) for kind, own in pairs.items()}},
    )
