"""How much an estimator will hold, estimated from its parameters before anything is made.

Limits of single parameters multiply: a bagging of a thousand baggings of a thousand models is within each
of them and beyond any memory. So the parts of an estimator are counted, each as often as whatever holds it
makes copies of it.
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
"""How many values an estimator may be made to hold: a hundred bytes each is half a gigabyte."""

MAX_NESTING = 60
"""How deep estimators may be held in the parameters of others."""

_OBJECT = 20
"""What one object of river takes, in values."""

_TREE_NODE = 10
_BASE_MODEL = 200
"""What each tree of a forest takes, with its detectors of drift and its metric, before it has grown."""

_COPIES = {
    "ADWINBoostingClassifier": "n_models",
    "OutputCodeClassifier": "code_size",
    "SRPClassifier": "n_models",
    "SRPRegressor": "n_models",
    "WrapperEnsemble": "n_models",
}
"""The parameter that says how many copies a class makes of the estimators that it is given."""

_FORESTS = {
    "AMFClassifier": "n_estimators",
    "AMFRegressor": "n_estimators",
    "BaseForest": "n_models",
    "ExtraTrees": "n_models",
}
"""The parameter that says how many trees of its own a class makes."""

_WINDOWS = frozenset(
    ("amount", "chunk_size", "lag", "max_size", "maxlen", "n_samples_init", "seasonality", "sliding_window_size")
) | frozenset(("size", "window", "window_size"))


class TooManyCells(ValueError):
    """An estimator that would be too large; the message says how large, and how large it may be."""


class Extent:
    """Counts values of estimators. One that is met again is not looked through again, and counts as often as it is met.

    Raises
    ------
    TooManyCells
        From each method, if the count is beyond `MAX_CELLS` or estimators nest beyond `MAX_NESTING`.
    """

    def __init__(self) -> None:
        self._known: dict[int, tuple[Any, int]] = {}

    def of(self, value: Any, depth: int = 0) -> int:
        """How many values an object will hold: an estimator, or anything that is in its parameters."""
        if isinstance(value, (str, bytes, int, float, type)) or value is None:
            return 1
        if (known := self._known.get(id(value))) is not None:
            return known[1]
        if depth > MAX_NESTING:
            raise TooManyCells(f"it nests estimators more than {MAX_NESTING} deep")
        self._known[id(value)] = value, 0  # what holds itself is not counted twice
        cells = self._count(value, depth)
        self._known[id(value)] = value, cells
        return cells

    def made(self, cls: type, parameters: Mapping[str, Any], depth: int = 0) -> int:
        """How many values an instance of a class will hold that is made with these parameters."""
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
            given["data"] = attributes["data"]  # an ensemble's models, where river keeps them under no other name
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
    """The numbers that a class takes where none are given."""
    try:
        parameters = inspect.signature(cls).parameters
    except (TypeError, ValueError):
        return {}
    return {name: one.default for name, one in parameters.items() if isinstance(one.default, (int, float))}


def _copies(cls: type, given: Mapping[str, Any]) -> float:
    return max([1, *(_size(given.get(name)) for name in _named(cls, _COPIES))])


def _own(cls: type, given: Mapping[str, Any]) -> float:
    """What a class makes by itself."""
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
        pass  # its constructor says what is wrong
    return 0


def _named(cls: type, table: Mapping[str, str]) -> list[str]:
    mine = [one.__name__ for one in getattr(cls, "__mro__", ()) if one.__module__.startswith(("river.", "tailrace."))]
    return [table[name] for name in mine if name in table]


def _size(value: Any) -> float:
    return min(whole(value) or 0, 2**64)
