"""`Extent`: the size of an estimator, estimated from its parameters before it is built.

Limits of single parameters are not enough, because parameters multiply: a bagging of a thousand baggings of a thousand
models is within each limit, but needs too much memory. So the parts of an estimator are counted, multiplied by the
number of copies that the containing estimator makes.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Mapping
from functools import cache
from typing import Any

from tailrace.estimators.limits import bound, whole

MAX_CELLS = 5_000_000
"""Largest number of values in an estimator. With a hundred bytes per value, this is half a gigabyte."""

MAX_NESTING = 60
"""Largest nesting depth of estimators in parameters of other estimators."""

_OBJECT = 20
"""Size of one object of river, in values."""

_TREE_NODE = 10
"""Size of one node of a tree, in values."""

_BASE_MODEL = 200
"""Size of one tree of a forest before it has learned anything, with its drift detectors and its metric, in values."""

_COPIES = {
    "ADWINBoostingClassifier": "n_models",
    "OutputCodeClassifier": "code_size",
    "SRPClassifier": "n_models",
    "SRPRegressor": "n_models",
    "WrapperEnsemble": "n_models",
}
"""Parameter with the number of copies that a class makes of the estimators in its parameters."""

_FORESTS = {
    "AMFClassifier": "n_estimators",
    "AMFRegressor": "n_estimators",
    "BaseForest": "n_models",
    "ExtraTrees": "n_models",
}
"""Parameter with the number of trees that a class makes."""

_WINDOWS = frozenset(
    ("amount", "chunk_size", "lag", "max_size", "maxlen", "n_samples_init", "seasonality", "sliding_window_size")
) | frozenset(("size", "window", "window_size"))


class TooManyCells(ValueError):
    """An estimator would be too large. The message says how large, and what the limit is."""


class Extent:
    """Counts the values of estimators. An object that occurs several times is examined once, and counted each time.

    Raises
    ------
    TooManyCells
        By each method, if the count exceeds `MAX_CELLS`, or estimators nest deeper than `MAX_NESTING`.
    """

    def __init__(self) -> None:
        self._known: dict[int, tuple[Any, int]] = {}

    def of(self, value: Any, depth: int = 0) -> int:
        """Returns the number of values of an object: an estimator, or a value in its parameters."""
        if isinstance(value, (str, bytes, int, float, type)) or value is None:
            return 1
        if (known := self._known.get(id(value))) is not None:
            return known[1]
        if depth > MAX_NESTING:
            raise TooManyCells(f"it nests estimators more than {MAX_NESTING} deep")
        self._known[id(value)] = value, 0  # for objects that contain themselves
        cells = self._count(value, depth)
        self._known[id(value)] = value, cells
        return cells

    def made(self, cls: type, parameters: Mapping[str, Any], depth: int = 0) -> int:
        """Returns the number of values of an instance that a class makes with these parameters."""
        given = {**_defaults(cls), **parameters}  # type: ignore[arg-type]
        held = sum(self.of(value, depth + 1) for value in given.values())
        cells = _OBJECT + _own(cls, given) + held * _copies(cls, given)
        if cells > MAX_CELLS:
            raise TooManyCells(f"its parameters make about {cells:.0f} values; at most {MAX_CELLS} are admitted")
        return int(cells)

    def _count(self, value: Any, depth: int) -> int:
        if isinstance(value, functools.partial):
            return self._partial(value, depth)
        if isinstance(value, Mapping) and not hasattr(value, "_get_params"):
            made = self.of(getattr(value, "default_factory", None), depth + 1)
            return 1 + made + sum(self.of(item, depth + 1) for item in value.values())
        if isinstance(value, (list, tuple, set, frozenset)):
            return 1 + sum(self.of(item, depth + 1) for item in value)
        attributes = getattr(value, "__dict__", None)
        if not isinstance(attributes, dict) or not hasattr(type(value), "_get_params"):
            return 1
        names = _names(type(value))  # type: ignore[arg-type]
        given = {name: attributes[name] for name in names if name in attributes}
        if "data" in attributes and not _named(type(value), _COPIES):
            given["data"] = attributes["data"]  # the models of an ensemble, which river keeps only there
        return self.made(type(value), given, depth)

    def _partial(self, value: functools.partial[Any], depth: int) -> int:
        arguments = bound(value.func, value.args, value.keywords)
        if isinstance(value.func, type):
            return self.made(value.func, arguments, depth)
        return 1 + sum(self.of(item, depth + 1) for item in arguments.values())


@cache
def _names(cls: type) -> tuple[str, ...]:
    try:
        return tuple(inspect.signature(cls).parameters)
    except (TypeError, ValueError):
        return ()


@cache
def _defaults(cls: type) -> dict[str, Any]:
    """Returns the default values of a class's numeric parameters."""
    try:
        parameters = inspect.signature(cls).parameters
    except (TypeError, ValueError):
        return {}
    return {name: one.default for name, one in parameters.items() if isinstance(one.default, (int, float))}


def _copies(cls: type, given: Mapping[str, Any]) -> float:
    return max([1, *(_size(given.get(name)) for name in _named(cls, _COPIES))])


def _own(cls: type, given: Mapping[str, Any]) -> float:
    """Returns the number of values that a class makes by itself, apart from its parameters."""
    cells = sum(_size(given.get(name)) for name in _WINDOWS)
    cells += sum(_size(given.get(name)) for name in _named(cls, _FORESTS)) * _BASE_MODEL
    if "n_trees" in given and "height" in given:
        cells += _TREE_NODE * _size(given["n_trees"]) * 2 ** min(_size(given["height"]) + 1, 64)
    if "n_random_cuts" in given:
        cells += _OBJECT * _size(given["n_random_cuts"]) + _size(given["n_random_cuts"]) * _size(given.get("n_bins"))
    if cls.__module__.startswith("river.sketch."):
        cells += _sketch(cls.__name__, given)
    return cells


def _sketch(name: str, given: Mapping[str, Any]) -> float:
    try:
        if name == "Counter":
            return math.e / given["epsilon"] * math.log(1 / given["delta"])
        if name == "NUnique":
            return float((1.04 / given["error_rate"]) ** 2)
        if name == "Set":
            return _size(given["capacity"]) * -math.log(given["fp_rate"]) / 64
    except (ArithmeticError, KeyError, TypeError, ValueError):
        pass  # the constructor will report the error
    return 0


def _named(cls: type, table: Mapping[str, str]) -> list[str]:
    mine = [one.__name__ for one in getattr(cls, "__mro__", ()) if one.__module__.startswith(("river.", "tailrace."))]
    return [table[name] for name in mine if name in table]


def _size(value: Any) -> float:
    return min(whole(value) or 0, 2**64)
