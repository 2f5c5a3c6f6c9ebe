"""Checks that an estimator is deterministic: a stored copy must continue exactly like the original.

A random state is allowed, since it is stored with the initial estimator.
"""

import collections
import functools
from collections.abc import Iterable, Iterator
from types import FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
from river import utils

from server.core.errors import Invalid

NOT_REPEATABLE = {
    "RandomTreesEmbedding": "its features are named by the memory addresses of its leaves",
    "STREAMKMeans": "its centres are drawn from a random state that a stored copy no longer shares",
}
"""Classes of river that are refused, with the reason."""

SEED = 1

PREDICTING_CHANGES_STATE = frozenset(
    (
        *(f"{kind}{task}" for kind in ("FM", "FFM", "FwFM", "HOFM") for task in ("Regressor", "Classifier")),
        *("EntropySampler", "GapEncoder", "GaussianRandomProjector", "KMeans", "LDA", "MonteCarloClassifierChain"),
        *("PoissonInclusion", "RBFSampler", "SWINN", "SparseRandomProjector"),
    )
)
"""Classes of river that change their random state when they predict. Predictions outside of the log must not change it."""


def check(estimator: Any) -> None:
    """Check that neither an estimator nor a part of it would differ in a replay.

    Raises
    ------
    Invalid
        If one would. The message names the class and the reason.
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
    """Set the seed of parts that have none.

    Some estimators pass their seed to others that they make while they learn, such as :class:`river.cluster.CluStream`. Without
    a seed, those would use the operating system's random numbers, and a replay would differ.
    """
    for value in parts(estimator):
        attributes = getattr(value, "__dict__", None)
        if isinstance(attributes, dict) and attributes.get("seed", SEED) is None and is_of_river(value):
            attributes["seed"] = SEED


def predicting_changes_state(estimator: Any) -> bool:
    """Return whether a prediction changes the estimator's state, so that predictions outside of the log need a copy."""
    return any(type(value).__name__ in PREDICTING_CHANGES_STATE and is_of_river(value) for value in parts(estimator))


def is_of_river(value: Any) -> bool:
    return type(value).__module__.startswith("river.")


def parts(estimator: Any) -> Iterator[Any]:
    """Yield the estimator and all objects that it holds, except plain numbers and text."""
    waiting: list[Any] = [estimator]
    seen: dict[int, Any] = {}
    while waiting:
        value = waiting.pop()
        if type(value) in _PLAIN or id(value) in seen:
            continue
        seen[id(value)] = value  # keeps it alive, so that its address is not used again
        yield value
        waiting += held(value)


_PLAIN = frozenset((bool, bytes, complex, float, int, str, type(None), np.ndarray))


def held(value: Any) -> Iterable[Any]:
    """Return the objects that an object holds: attributes, items, or function and arguments of a partial."""
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
