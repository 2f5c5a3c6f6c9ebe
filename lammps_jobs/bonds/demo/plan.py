"""The plan of the demo of bond strengths: which cells to make, and the names of the stream and the models."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, ClassVar

from lammps_jobs.bonds.generation.composition import Composition
from lammps_jobs.bonds.generation.deformations import DEFORMATIONS, Deformation
from lammps_jobs.bonds.generation.melt_quench import Quench
from lammps_jobs.bonds.structures.neighbours import LONGEST
from lammps_jobs.demo_support.directory import DemoDirectory
from lammps_jobs.demo_support.names import NumberedNames, PlanError

__all__ = ["RECIPES", "BondsPlan", "Directory", "Glass", "resumed"]

RECIPES = ("bond-gpr", "bond-distance", "bond-forest")
COMPOSITION = "Cu50Zr50"
HELD_OUT_DEFORMATIONS = 1
LARGEST_SEED = 2**30


@dataclass(frozen=True)
class Glass:
    """One generated cell, and its deformed copies.

    Attributes
    ----------
    name
        Name of the undeformed cell and of its directory.
    quench
        How it is made.
    deformations
        The deformations of its copies.
    """

    name: str
    quench: Quench
    deformations: tuple[Deformation, ...] = ()


@dataclass(frozen=True)
class BondsPlan(NumberedNames):
    """Which cells to make, and the names of the stream and the models.

    Attributes
    ----------
    seed
        Seed of the glasses.
    atoms
        Atoms of each labeled glass.
    glasses
        Number of glasses to learn from. One more is held out.
    deformations
        Number of deformed copies of each glass, 0 to 14.
    large
        Atoms of the large cell that is predicted at the end.
    longest
        Longest bond, Å.
    run
        Number at the end of the names of `stream` and `models`. 1: no number. It is higher if these names are taken.
    """

    STREAM: ClassVar[str] = "bond-strength"
    RECIPES: ClassVar[tuple[str, ...]] = RECIPES

    seed: int = 1
    atoms: int = 36
    glasses: int = 3
    deformations: int = len(DEFORMATIONS)
    large: int = 2000
    longest: float = LONGEST
    run: int = 1

    def __post_init__(self) -> None:
        for name, least, most in (
            ("seed", 1, LARGEST_SEED), ("atoms", 8, 200), ("glasses", 1, 100), ("large", 50, 100_000),
            ("deformations", 0, len(DEFORMATIONS)), ("run", 1, LARGEST_SEED),
        ):  # fmt: skip
            value = getattr(self, name)
            if type(value) is not int or not least <= value <= most:
                raise PlanError(f"--{name} {value}: expected a whole number from {least} to {most:,}")
        if not isinstance(self.longest, int | float) or not 2.5 <= self.longest <= 6.0:
            raise PlanError(f"--longest {self.longest}: expected a length of 2.5 to 6 Å")

    def to_learn(self) -> list[Glass]:
        """Return the glasses whose bonds are learned, in order."""
        return [self._glass(number, self.deformations) for number in range(1, self.glasses + 1)]

    def held_out(self) -> Glass:
        """Return the glass whose bonds are predicted and never learned."""
        return self._glass(self.glasses + 1, min(HELD_OUT_DEFORMATIONS, self.deformations))

    def larger(self) -> Glass:
        """Return the large cell that is predicted at the end.

        It is quenched faster, so that LAMMPS takes only half a minute.
        """
        quench = self._quench(self.large, LARGEST_SEED + self.seed, melt=4.0, rate=200.0, hold=2.0)
        return Glass(f"{COMPOSITION}-large", quench)

    def _glass(self, number: int, deformations: int) -> Glass:
        quench = self._quench(self.atoms, self.seed + number - 1, melt=10.0, rate=50.0, hold=5.0)
        return Glass(f"{COMPOSITION}-{number}-00", quench, DEFORMATIONS[:deformations])

    @staticmethod
    def _quench(atoms: int, seed: int, *, melt: float, rate: float, hold: float) -> Quench:
        return Quench(Composition.parse(COMPOSITION), atoms, seed=seed, melt=melt, rate=rate, hold=hold)


class Directory(DemoDirectory[BondsPlan]):
    """The working directory of the demo: the cells, the predictions and the picture."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, BondsPlan)
        self.cells = path / "cells"
        self.picture = path / "rmse.png"
        self.predicted = path / "ICOHPLIST.lobster"

    def heldout(self, cell: str) -> Path:
        """Return the path of the predictions for the held-out bonds after this cell was learned."""
        return self.path / "heldout" / f"{cell}.json"


def resumed(plan: BondsPlan | None, asked: dict[str, Any]) -> BondsPlan:
    """Return `plan`, or a new plan if it is None.

    Parameters
    ----------
    plan
        The plan of the demo that was started before, if any.
    asked
        Requested fields of the plan; None for those that were not given.

    Raises
    ------
    PlanError
        If a field differs from `plan`, or is out of range.
    """
    asked = {name: value for name, value in asked.items() if value is not None}
    if plan is None:
        return BondsPlan(**asked)
    for one in fields(plan):
        begun = getattr(plan, one.name)
        if asked.get(one.name, begun) != begun:
            raise PlanError(
                f"the demo was started with --{one.name} {begun}: leave --{one.name} out to resume it, "
                f"or start over with --fresh --{one.name} {asked[one.name]}"
            )
    return replace(plan)
