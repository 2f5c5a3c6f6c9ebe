"""The cases of the study: which cells, which unit is asked for, and which errors are to be reached."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from bench.campaign_study.learner import Learner
from bench.campaign_study.pools import Cell, Unit, batches, whole
from bench.campaign_study.replay import Case
from lammps_jobs.bonds.learning.evaluation import PAPER
from server.campaigns.policies.situation import Thresholds

__all__ = ["SLACKS", "Study", "made", "real"]

COPPER_ZIRCONIUM = ("Zr-Cu", "Zr-Zr", "Cu-Cu")
BATCH = 10
MOST_BATCHES = 400
SLACKS = (1.1, 1.03)
HELD_OUT = 2


@dataclass(frozen=True)
class Study:
    """Some orders of one case.

    Attributes
    ----------
    said
        What is asked for, tested and to be reached, in a few words.
    case
        Returns the case of an order.
    """

    name: str
    said: str
    case: Callable[[int], Case]


def real(cells: Sequence[Cell]) -> list[Study]:
    """Return the studies of the reference cells: those of Zr49Cu49Al2 can be asked for, the other one is tested.

    The targets are those that the paper publishes for the tested cell. The types with aluminium are left out, because no
    choice among these cells reaches their targets. The interval of an error is the error itself: there is one tested family.
    """
    tested = [cell for cell in cells if cell.composition == "Zr45Cu45Al10"]
    pool = [cell for cell in cells if cell.composition == "Zr49Cu49Al2"]
    targets = {(kind, "Zr49Cu49Al2"): PAPER["cell"][kind] for kind in COPPER_ZIRCONIUM}
    held_out = dict.fromkeys(targets, whole(tested, COPPER_ZIRCONIUM))

    def by_batch(order: int) -> Case:
        units = batches(pool, COPPER_ZIRCONIUM, BATCH, order, set())
        rules = Thresholds(batch=2, gain=-1e9)  # ten bonds bring less than a cell: no round counts as one without gain
        return Case("real-batches", units, held_out, targets, order, rules, MOST_BATCHES)

    def by_cell(order: int) -> Case:
        return Case("real-cells", whole(pool, COPPER_ZIRCONIUM), held_out, targets, order, Thresholds(batch=1))

    return [
        Study(
            "real-batches", f"batches of {BATCH} bonds of one type; published targets on Zr45Cu45Al10-1-00", by_batch
        ),
        Study("real-cells", "whole cells; published targets on Zr45Cu45Al10-1-00", by_cell),
    ]


def made(cells: Sequence[Cell], slack: float) -> Study:
    """Return the study of cells that LAMMPS made and tblite labeled: whole cells of several families and compositions.

    Each order tests two other families of each composition. The target of a type in a composition is ``slack`` times the
    error after all cells of the other families were learned.
    """
    families: dict[str, set[str]] = {}
    for cell in cells:
        families.setdefault(cell.composition, set()).add(cell.family)
    kinds = [kind for kind in COPPER_ZIRCONIUM if any(kind in cell.bonds.types for cell in cells)]

    def case(order: int) -> Case:
        random = np.random.default_rng(order)
        tested = {family for some in families.values() for family in random.permutation(sorted(some))[:HELD_OUT]}
        pool = whole([cell for cell in cells if cell.family not in tested], kinds)
        held_out: dict[tuple[str, str], list[Unit]] = {}
        for composition in families:
            some = [cell for cell in cells if cell.family in tested and cell.composition == composition]
            of_composition = whole([cell for cell in some if not cell.deformation], kinds)
            held_out |= {(kind, composition): of_composition for kind in kinds}
        everything = Learner(kinds)
        for unit in pool:
            everything.learn(unit)
        targets = {of: slack * (everything.rmse(of[0], some) or 0.0) for of, some in held_out.items()}
        return Case("made", pool, held_out, targets, order, Thresholds(batch=2))

    return Study(
        f"made-{slack}",
        f"whole cells of {', '.join(families)} by LAMMPS and tblite; targets {slack} × the error with all of them",
        case,
    )
