"""What is known of a model's errors and coverage at a position of the log: by bond type and composition, and by family.

Everything is computed from the log and the tables of cells up to that position, so that it can be computed again. Errors are those
of a cross-validation: the model's recipe learns all families but those of a fold, and predicts these. Deformed copies are
learned, and not tested where their family has a cell that is not deformed: they are harder to predict, so an error over them would
rise with each one that is calculated, whatever it teaches.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import numpy as np

from server.campaigns import formulas
from server.campaigns.evaluations import scores
from server.campaigns.evaluations.learning_anew import Recipe, together
from server.campaigns.evaluations.scores import Predicted
from server.campaigns.evaluations.tested_bonds import TestedBonds, folds
from server.cells import exporting, learned_bonds, learned_coverage
from server.cells.learned_bonds import LearnedBonds
from server.cells.selection import Selected
from server.learning.models import Model

FOLDS, FOLDS_OF_MANY, MANY = 5, 3, 30
"""Parts that the families are dealt into. From 30 families on three suffice: two thirds of them teach nearly as much as four fifths."""
MOST_CELLS, MOST_OF_TYPE = 100, 1000
"""Most cells, and most bonds of one type in them, that the cross-validation learns: a sample, so that a decision takes seconds.
Most of that time is for reading the cells' features from the log. 100 cells of 100 families tell more than 100 cells of ten."""
MOST_SECONDS = 300.0
"""Longest time for the cross-validation of a decision, s. Other campaigns wait meanwhile."""


@dataclass(frozen=True)
class TypeMeasure:
    """Error and coverage of one bond type in one composition, see :class:`server.campaigns.policies.situation.TypeStatus`."""

    families: int = 0
    bonds: int = 0
    rmse: float | None = None
    low: float | None = None
    high: float | None = None
    covered: float | None = None
    scale: float | None = None


@dataclass
class Measures:
    """All measures of one model.

    Attributes
    ----------
    types
        By composition (its normalised formula) and bond type.
    sigmas
        Family to bond type to the root mean square of σ, rescaled by type, in eV; of the errors, where the model gives no σ.
    distances
        Family to the mean distance of its bonds to the nearest learned one of another family; of a sample of its bonds.
    learned
        Normalised formulas of which at least one cell was learned.
    """

    types: dict[tuple[str, str], TypeMeasure] = field(default_factory=dict)
    sigmas: dict[str, dict[str, float]] = field(default_factory=dict)
    distances: dict[str, float] = field(default_factory=dict)
    learned: set[str] = field(default_factory=set)


def measured(
    model: Model, position: int, retraction: int, *, kinds: Collection[str], least_families: int, seed: int
) -> Measures:
    """Measure a model after observation ``position``, without what was retracted up to ``retraction``.

    Parameters
    ----------
    model
        The model, with its stream loaded.
    kinds
        The bond types to measure. The others are learned, and neither tested nor compared.
    least_families
        Families of a type and composition below which there is no interval.
    seed
        Seed of the folds and of the bootstrap.
    """
    found = Measures()
    learned = learned_bonds.read(model.stream_id, 0, position, retraction)
    keys = [formulas.key_of(name) or name for name in learned.composition_names]
    sizes = _sizes(learned, keys)
    found.learned = {key for key, _ in sizes}
    compared = learned_coverage.compared(model, position, retraction, kinds)
    covered, found.distances = _covered(compared), compared.of_families()
    crossed = _crossed(model, learned, keys, kinds, seed)
    scales = {} if crossed is None else {kind: row["scale"] for kind, row in scores.calibration(crossed[0]).items()}
    for (key, kind), (families, bonds) in sorted(sizes.items()):
        row = {"rmse": None, "low": None, "high": None}
        if crossed is not None:
            tested, of_key = crossed
            row = scores.row(tested.of((tested.kinds == kind) & (of_key == key)), seed)
        low, high = (row["low"], row["high"]) if families >= least_families else (None, None)
        found.types[key, kind] = TypeMeasure(
            families, bonds, row["rmse"], low, high, covered.get((key, kind)), scales.get(kind)
        )
    if crossed is not None:
        found.sigmas = _sigmas(crossed[0], scales)
    return found


def _sizes(learned: LearnedBonds, keys: Sequence[str]) -> dict[tuple[str, str], tuple[int, int]]:
    """Return composition (normalised) and bond type to their numbers of families and bonds."""
    names = sorted(set(keys))
    of_key = np.array([names.index(key) for key in keys], dtype=np.int64)
    pairs = of_key[learned.compositions] * len(learned.kind_names) + learned.kinds
    found, bonds = np.unique(pairs, return_counts=True)
    count = max(1, len(learned.family_names))
    families = np.bincount(np.unique(pairs * count + learned.families) // count, minlength=1)
    return {
        (names[pair // len(learned.kind_names)], learned.kind_names[pair % len(learned.kind_names)]): (
            int(families[pair]), number
        )
        for pair, number in zip(found.tolist(), bonds.tolist(), strict=True)
    }  # fmt: skip


def _crossed(
    model: Model, learned: LearnedBonds, keys: Sequence[str], kinds: Collection[str], seed: int
) -> tuple[Predicted, np.ndarray] | None:
    """Return predictions of held-out families, and the normalised formula of each; None with fewer than two families."""
    among = learned.of_cells(MOST_CELLS)
    drawn = [learned.sample(kind, MOST_OF_TYPE, among) for kind in range(len(learned.kind_names))]
    places = np.sort(np.concatenate(drawn)) if drawn else np.zeros(0, dtype=np.int64)
    chosen = [
        Selected(number, "", keys[composition], learned.kind_names[kind], learned.family_names[family])
        for number, composition, kind, family in zip(
            *(
                some[places].tolist()
                for some in (learned.numbers, learned.compositions, learned.kinds, learned.families)
            ),
            strict=True,
        )
    ]
    kept = [one for some in exporting.read(model.stream_id, chosen) for one in some if one.x is not None]
    some = TestedBonds(
        [one.one for one in kept],
        [one.x for one in kept if one.x is not None],
        np.array([float(one.y) for one in kept]),
    )
    if len(some.families) < 2:
        return None
    recipe = Recipe(model, some, MOST_SECONDS)
    is_asked = np.isin(recipe.kinds, list(kinds)) & _is_tested(learned, some)
    parts, rows = [], []
    for fold in folds(some.families, FOLDS if len(some.families) < MANY else FOLDS_OF_MANY, seed):
        in_fold = np.isin(recipe.families, fold)
        tested = in_fold & is_asked
        parts.append(recipe.tested_without(tested, ~in_fold))
        rows.append(np.flatnonzero(tested))
    return together(parts), some.column("composition")[np.concatenate(rows)]


def _is_tested(learned: LearnedBonds, some: TestedBonds) -> np.ndarray:
    """Return a mask of the bonds of undeformed cells, and of the families that have only such copies."""
    rows = np.searchsorted(learned.numbers, [one.number for one in some.bonds])
    undeformed, families = learned.undeformed[rows], learned.families[rows]
    return undeformed | ~np.isin(families, families[undeformed])


def _sigmas(tested: Predicted, scales: dict[str, float | None]) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = defaultdict(dict)
    for kind in sorted(set(tested.kinds.tolist())):
        scale = scales.get(kind)
        values = np.abs(tested.error) if scale is None else tested.std * scale
        of_kind = (tested.kinds == kind) & ~np.isnan(values)
        for family in sorted(set(tested.families[of_kind].tolist())):
            own = values[of_kind & (tested.families == family)]
            found[family][kind] = float(np.sqrt((own**2).mean()))
    return dict(found)


def _covered(compared: learned_coverage.Compared) -> dict[tuple[str, str], float | None]:
    found: dict[tuple[str, str], float | None] = {}
    for composition, shares in compared.shares().items():
        key = formulas.key_of(composition) or composition
        found |= {(key, kind): share.share for kind, share in shares.items() if kind}
    return found
