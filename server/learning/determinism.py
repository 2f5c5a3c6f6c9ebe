"""Which estimators can't be folds: those of which a stored copy goes on differently than the original.

A random state is no obstacle, since it is stored with the initial estimator. These are:
"""

import collections
import functools
from collections.abc import Iterable, Iterator
from types import FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
from river import utils

from server.streams.errors import Invalid

NOT_REPEATABLE = {
    "RandomTreesEmbedding": "its features are named by the memory addresses of its leaves",
    "STREAMKMeans": "its centres are drawn from a random state that a stored copy no longer shares",
}
"""Class of river to reason."""

SEED = 1

CHANGES_WHEN_ASKED = frozenset(
    (
        *(f"{kind}{task}" for kind in ("FM", "FFM", "FwFM", "HOFM") for task in ("Regressor", "Classifier")),
        *("EntropySampler", "GapEncoder", "GaussianRandomProjector", "KMeans", "LDA", "MonteCarloClassifierChain"),
        *("PoissonInclusion", "RBFSampler", "SWINN", "SparseRandomProjector"),
    )
)
"""Classes of river that draw from their random state to predict: a question that isn't in the log must not move it."""


def check(estimator: Any) -> None:
    """Refuse an estimator that is, or holds, one whose replay would differ.

    Raises
    ------
    Invalid
        Naming the class and why.
    """
    for value in parts(estimator):
        name = type(value).__name__
        if name in NOT_REPEATABLE and is_of_river(value):
            raise Invalid(
                f"{name} can't be replayed ({NOT_REPEATABLE[name]}), so no model could be rebuilt from its log: "
                "choose another estimator",
                field="estimator",
                code="not_repeatable",
            )


def seed(estimator: Any) -> None:
    """Give a seed to what has none.

    Some make others with their own seed while they learn (:class:`river.cluster.CluStream` its centres, an ensemble its clones
    of a drift detector): without one those would draw from the operating system, and a replay would differ.
    """
    for value in parts(estimator):
        attributes = getattr(value, "__dict__", None)
        if isinstance(attributes, dict) and attributes.get("seed", SEED) is None and is_of_river(value):
            attributes["seed"] = SEED


def changes_when_asked(estimator: Any) -> bool:
    """Whether a prediction leaves another state behind, so that only a copy may be asked outside of the fold."""
    return any(type(value).__name__ in CHANGES_WHEN_ASKED and is_of_river(value) for value in parts(estimator))


def is_of_river(value: Any) -> bool:
    return type(value).__module__.startswith("river.")


def parts(estimator: Any) -> Iterator[Any]:
    """The estimator and all that it holds, but for plain numbers and text."""
    waiting: list[Any] = [estimator]
    seen: dict[int, Any] = {}
    while waiting:
        value = waiting.pop()
        if type(value) in _PLAIN or id(value) in seen:
            continue
        seen[id(value)] = value  # keeps it alive, so that no other object gets its address
        yield value
        waiting += held(value)


_PLAIN = frozenset((bool, bytes, complex, float, int, str, type(None), np.ndarray))


def held(value: Any) -> Iterable[Any]:
    """What an object holds itself: attributes, items, or what a partial calls and with what."""
    if isinstance(value, (type, FunctionType, ModuleType)):
        return ()
    if isinstance(value, functools.partial):
        return (value.func, *value.args, *value.keywords.values())
    if isinstance(value, MethodType):
        return (value.__func__, value.__self__)
    if isinstance(value, utils.VectorDict):
        return value.__reduce__()[1]  # type: ignore[no-any-return]
    found: list[Any] = []
    if isinstance(value, dict):
        found += value.values()
        found.append(getattr(value, "default_factory", None))
    elif isinstance(value, (list, tuple, set, frozenset, collections.deque)):
        found += value
    attributes = getattr(value, "__dict__", None)
    if isinstance(attributes, dict):
        found += attributes.values()
    found += [getattr(value, name, None) for name in _slots(type(value))]  # type: ignore[arg-type]
    return found


@functools.cache
def _slots(kind: type) -> tuple[str, ...]:
    slots = [vars(cls).get("__slots__", ()) for cls in kind.__mro__]
    return tuple(name for own in slots for name in ((own,) if isinstance(own, str) else own))
