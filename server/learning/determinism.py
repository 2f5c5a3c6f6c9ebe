"""Which estimators can't be folds: those of which a stored copy goes on differently than the original.

A random state is no obstacle, since it is stored with the initial estimator. These are:
"""

from collections.abc import Iterator
from typing import Any

from river import base

from server.streams.errors import Invalid

NOT_REPEATABLE = {
    "RandomTreesEmbedding": "its features are named by the memory addresses of its leaves",
    "STREAMKMeans": "its centres are drawn from a random state that a stored copy no longer shares",
}
"""Class of river to reason."""

CHANGES_WHEN_ASKED = frozenset(
    (
        *(f"{kind}{task}" for kind in ("FM", "FFM", "FwFM", "HOFM") for task in ("Regressor", "Classifier")),
        *("GapEncoder", "GaussianRandomProjector", "KMeans", "LDA", "MonteCarloClassifierChain"),
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
    for value in _parts(estimator):
        name = type(value).__name__
        if name in NOT_REPEATABLE and type(value).__module__.startswith("river."):
            raise Invalid(
                f"{name} can't be replayed ({NOT_REPEATABLE[name]}), so no model could be rebuilt from its log: "
                "choose another estimator",
                field="estimator",
                code="not_repeatable",
            )


def changes_when_asked(estimator: Any) -> bool:
    """Whether a prediction leaves another state behind, so that only a copy may be asked outside of the fold."""
    return any(
        type(value).__name__ in CHANGES_WHEN_ASKED and type(value).__module__.startswith("river.")
        for value in _parts(estimator)
    )


def _parts(estimator: Any) -> Iterator[Any]:
    """The estimator and all that it holds."""
    waiting, seen = [estimator], set()
    while waiting:
        value = waiting.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        yield value
        if isinstance(value, base.Base):
            waiting += vars(value).values() if hasattr(value, "__dict__") else ()
        elif isinstance(value, dict):
            waiting += value.values()
        elif isinstance(value, (list, tuple)):
            waiting += value
