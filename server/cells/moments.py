"""A model's predictions for the bonds of a cell as of an observation, at moments that are quick to go back to."""

from typing import Any

import numpy as np

from server.cells.cell_bonds import CellBonds
from server.core.errors import Invalid
from server.learning import evaluation
from server.learning.models import Model, Snapshot

MOST_REPLAYED = 5000
"""Most observations that are learned again to get a state: a moment is at most that far after a stored one."""

MOST_MOMENTS = 12
LEVEL_95 = 1.959964
"""Half the width of a 95 % interval of a normal distribution, in standard deviations."""


def stored(model: Model) -> list[int]:
    """Return the observations after which the model's state is stored or known: the first is the initial state."""
    found = Snapshot.objects.filter(model=model, generation=model.generation).values_list("seq", flat=True)
    least = max(model.since, model.stream.whole_after)
    return sorted({least, *(seq for seq in found if least <= seq <= model.stream.head)})


def offered(model: Model, first: int, last: int) -> list[int]:
    """Return the moments for a cell with the observations ``first`` to ``last``: its begin, its end, stored states, and now."""
    known, head = stored(model), model.stream.head
    needed = {seq for seq in (first - 1, last) if _is_quick(known, seq)} | {head, known[0]}
    others = [seq for seq in known if seq not in needed and seq <= head]
    room = max(0, MOST_MOMENTS - len(needed))
    if len(others) > room:
        others = [others[index] for index in np.linspace(0, len(others) - 1, room).astype(int)] if room else []
    return sorted(needed.union(others))


def _is_quick(known: list[int], seq: int) -> bool:
    before = [one for one in known if one <= seq]
    return bool(before) and seq - before[-1] <= MOST_REPLAYED


def check(model: Model, at: int) -> None:
    """Check that the state as of an observation is quick to get.

    Raises
    ------
    Invalid
        If it isn't. The message says from which observations on it is.
    """
    known, head = stored(model), model.stream.head
    if not known[0] <= at <= head:
        raise Invalid(f"at is {at:,}: expected an observation from {known[0]:,} to {head:,}", field="at")
    if at != head and not _is_quick(known, at):
        before = max(one for one in known if one <= at)
        raise Invalid(
            f"at is {at:,}: the nearest stored state of model {model.name} before it is at {before:,}, and at most "
            f"{MOST_REPLAYED:,} observations are learned again for this page. Choose {before:,} to {before + MOST_REPLAYED:,}",
            field="at",
        )


def predicted(model: Model, at: int, bonds: CellBonds) -> tuple[np.ndarray, np.ndarray]:
    """Return the model's predictions as of observation ``at`` for bonds, and standard deviations; NaN where there is none.

    Raises
    ------
    Invalid
        As :func:`check`.
    NotFound, Conflict, Unavailable, TooSlow
        As :func:`server.learning.evaluation.model_copy` and its ``estimate``.
    """
    check(model, at)
    _, copy = evaluation.model_copy(model.name, at)
    prediction, std = np.full(len(bonds), np.nan), np.full(len(bonds), np.nan)
    for index, x in enumerate(bonds.xs):
        estimate: Any = None if x is None else copy.estimate(x)
        if estimate is not None:
            prediction[index] = estimate.prediction
            if estimate.std is not None:
                std[index] = estimate.std
    return prediction, std
