"""What one demo of bond strengths is to do, and where it keeps what it has done."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from tailrace.spool import write_whole

from lammps_jobs.bonds.augment import DEFORMATIONS, Deformation
from lammps_jobs.bonds.composition import Composition
from lammps_jobs.bonds.generate import Quench
from lammps_jobs.bonds.neighbours import LONGEST
from lammps_jobs.plan import DemoDirectory, PlanError

__all__ = ["RECIPES", "BondsPlan", "Directory", "Glass", "resumed"]

STREAM = "bond-strength"
RECIPES = ("bond-gpr", "bond-distance", "bond-forest")
COMPOSITION = "Cu50Zr50"
HELD_OUT_DEFORMATIONS = 1
LARGEST_SEED = 2**30


@dataclass(frozen=True)
class Glass:
    """One generated cell, and the deformed copies of it that are wanted.

    Attributes
    ----------
    name
        Of the cell that is not deformed, which names its directory.
    quench
        How it is made.
    deformations
        Those that make further cells of it.
    """

    name: str
    quench: Quench
    deformations: tuple[Deformation, ...] = ()


@dataclass(frozen=True)
class BondsPlan:
    """Which cells to make, and under which names to learn their bonds.

    Attributes
    ----------
    seed
        Decides the glasses.
    atoms
        Of each glass that is labeled.
    glasses
        How many are learned from; one more is held out.
    deformations
        How many of the fourteen are made of each.
    large
        Atoms of the cell that is predicted in the end.
    longest
        Bonds are up to so long, Å.
    run
        1, or more where the names without a number were taken: `stream` and `models` end in it.
    """

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

    @property
    def stream(self) -> str:
        return STREAM + self._suffix

    @property
    def models(self) -> dict[str, str]:
        """Recipe to the name of the model made from it."""
        return {recipe: recipe + self._suffix for recipe in RECIPES}

    @property
    def _suffix(self) -> str:
        return "" if self.run == 1 else f"-{self.run}"

    def to_learn(self) -> list[Glass]:
        """The glasses whose bonds are learned, in order."""
        return [self._glass(number, self.deformations) for number in range(1, self.glasses + 1)]

    def held_out(self) -> Glass:
        """A glass of its own, whose bonds are predicted and never learned."""
        return self._glass(self.glasses + 1, min(HELD_OUT_DEFORMATIONS, self.deformations))

    def larger(self) -> Glass:
        """The large cell that is predicted in the end. Quenched faster: it has to be there in half a minute."""
        quench = self._quench(self.large, LARGEST_SEED + self.seed, melt=4.0, rate=200.0, hold=2.0)
        return Glass(f"{COMPOSITION}-large", quench)

    def _glass(self, number: int, deformations: int) -> Glass:
        quench = self._quench(self.atoms, self.seed + number - 1, melt=10.0, rate=50.0, hold=5.0)
        return Glass(f"{COMPOSITION}-{number}-00", quench, DEFORMATIONS[:deformations])

    @staticmethod
    def _quench(atoms: int, seed: int, *, melt: float, rate: float, hold: float) -> Quench:
        return Quench(Composition.parse(COMPOSITION), atoms, seed=seed, melt=melt, rate=rate, hold=hold)


class Directory(DemoDirectory):
    """Where the demo keeps its plan, the cells, what was predicted, its picture and the server's output."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._begun = path / "plan.json"
        self.cells = path / "cells"
        self.picture = path / "rmse.png"
        self.predicted = path / "ICOHPLIST.lobster"

    def heldout(self, cell: str) -> Path:
        """What the models said of the held-out bonds once they had learned this cell."""
        return self.path / "heldout" / f"{cell}.json"

    def plan(self) -> BondsPlan | None:
        """The plan that was begun here; None if there is none. Raises PlanError if it can't be read."""
        try:
            return BondsPlan(**json.loads(self._begun.read_bytes()))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, PlanError) as error:
            raise PlanError(f"{self._begun} can't be read ({error}): start over with --fresh") from None

    def keep(self, plan: BondsPlan) -> None:
        """Write the plan down."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_whole(self._begun, asdict(plan))


def resumed(plan: BondsPlan | None, asked: dict[str, Any]) -> BondsPlan:
    """The plan to follow: `plan`, or a new one with what is asked for where there is none.

    Parameters
    ----------
    asked
        Fields of the plan; None for those that don't matter.

    Raises
    ------
    PlanError
        If something else is asked for than was begun, or something that can't be.
    """
    asked = {name: value for name, value in asked.items() if value is not None}
    if plan is None:
        return BondsPlan(**asked)
    for one in fields(plan):
        begun = getattr(plan, one.name)
        if asked.get(one.name, begun) != begun:
            raise PlanError(
                f"the demo here was begun with --{one.name} {begun}: leave --{one.name} out to go on with it, "
                f"or start over with --fresh --{one.name} {asked[one.name]}"
            )
    return replace(plan)
