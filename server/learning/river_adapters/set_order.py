"""Patches for river's estimators whose results depend on the order of a set: they iterate in sorted order.

The order in which Python iterates over a set depends on the hashes of its items, which for text differ between processes, and
on the order of insertion, which a snapshot does not keep. It decides which of two classes with equal votes wins, in which
order numbers are added (so the last bits of the sum), and which feature gets which random number. Without the patches, a model
may predict differently after a restart.
"""

import functools
from collections.abc import Iterator, Mapping
from typing import Any

from river.cluster import KMeans
from river.compose import Select
from river.dummy import NoChangeClassifier
from river.forest import AMFClassifier
from river.multiclass import OneVsOneClassifier
from river.neighbors import KNNClassifier
from river.tree import HoeffdingAdaptiveTreeClassifier
from river.tree.splitter.nominal_splitter_classif import NominalSplitterClassif
from river.utils import math

FOLLOW_A_SET = (
    (AMFClassifier, "predict_proba_one", "_classes"),
    (HoeffdingAdaptiveTreeClassifier, "predict_proba_one", "classes"),
    (KNNClassifier, "predict_proba_one", "classes"),
    (NoChangeClassifier, "predict_proba_one", "classes"),
    (NominalSplitterClassif, "best_evaluated_split_suggestion", "_att_values"),
    (OneVsOneClassifier, "learn_one", "classes"),
)
"""Class, method and the set that it iterates over."""


class SortedSet(set[Any]):
    """A set that iterates in sorted order: by type, then by value."""

    def __iter__(self) -> Iterator[Any]:
        return iter(sorted(super().__iter__(), key=_by_type))

    def __sub__(self, other: Any) -> "SortedSet":
        return SortedSet(set.difference(self, other))


def _by_type(item: Any) -> tuple[str, Any]:
    return type(item).__name__, item


def install() -> None:
    """Install the patches in this process."""
    if hasattr(KNNClassifier.predict_proba_one, "__wrapped__"):
        return
    for cls, name, attribute in FOLLOW_A_SET:
        setattr(cls, name, _in_order(vars(cls)[name], attribute))
    Select.transform_one = functools.wraps(Select.transform_one)(_selected)  # type: ignore[method-assign]
    KMeans.predict_one = functools.wraps(KMeans.predict_one)(_nearest_center)  # type: ignore[method-assign]
    # Estimators hold the function object, and pickles name it. So the object stays, and only its code is replaced.
    math.minkowski_distance.__code__ = _minkowski_distance.__code__


def _selected(self: Select, x: dict[Any, Any]) -> dict[Any, Any]:
    try:
        return {name: x[name] for name in sorted(self.keys)}
    except TypeError:
        return {name: x[name] for name in sorted(self.keys, key=_by_type)}


def _nearest_center(self: KMeans, x: dict[Any, Any]) -> int:
    def distance(index: int) -> float:
        center = self.centers[index]  # a missing feature is drawn at its first access
        names = dict.fromkeys((*center, *x))
        return sum((abs(center[name] - x.get(name, 0))) ** self.p for name in names)  # type: ignore[no-any-return]

    return min(self.centers, key=distance)


def _minkowski_distance(a: Mapping[Any, float], b: Mapping[Any, float], p: int) -> float:
    # This code runs with the globals of river's module.
    if p == 2:
        return _euclidean_distance(a, b)  # type: ignore[name-defined, no-any-return]  # noqa: F821
    if p == 1:
        return _manhattan_distance(a, b)  # type: ignore[name-defined, no-any-return]  # noqa: F821
    names = dict.fromkeys((*a, *b))
    return sum((abs(a.get(name, 0.0) - b.get(name, 0.0))) ** p for name in names) ** (1 / p)  # type: ignore[no-any-return]


def _in_order(method: Any, attribute: str) -> Any:
    @functools.wraps(method)
    def ordered(self: Any, *args: Any, **kwargs: Any) -> Any:
        # Between calls the attribute is a plain set, so that stored and downloaded models have river's own types only.
        values = SortedSet(getattr(self, attribute))
        setattr(self, attribute, values)
        try:
            return method(self, *args, **kwargs)
        finally:
            setattr(self, attribute, set(values))

    return ordered
