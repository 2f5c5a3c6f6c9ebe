"""Detects estimators that change the dict of features that they are given.

Most of river's estimators only read it. If one writes to a dict that it shares with others, it changes the features that other
models see and that are stored. ``tests/learning/test_input_writers.py`` tests each admitted estimator and reads river's source.
"""

import functools
from collections.abc import Iterator
from types import FunctionType
from typing import Any

from river import utils

from server.learning.river_adapters import determinism

WRITES_TO_INPUT = {
    "river.compose.renamer.Renamer": "it removes the old name and adds the new one",
}
"""Classes whose objects change the dict, and how."""

WRITES_WHEN_CALLED = {
    utils.VectorDict: "it keeps the dict itself, and turns its integers and booleans into floats",
}
"""Classes that change a dict that they are constructed with. An upload may hold the class where river expects a function."""

CALLS_A_FUNCTION_OF_THE_OPERATORS = ("river.compose.func.FuncTransformer",)
"""Classes that call a function from a module that the operator trusts. It may write to the dict."""


def writes_to_input(estimator: Any) -> bool:
    """Return whether the estimator or a part of it may change a dict that it is given.

    It may return True too often, since a copy does no harm: also if an earlier part passes on a dict of its own, and for
    everything from a module that the operator trusts.

    Parameters
    ----------
    estimator
        An estimator, trained or not.
    """
    return any(_writes(part) for part in determinism.parts(estimator))


def _writes(part: Any) -> bool:
    if isinstance(part, functools.partial) and part.func in WRITES_WHEN_CALLED and not part.args:
        return True  # with arguments of its own, it is not constructed with the dict
    if isinstance(part, FunctionType):
        return _is_of_the_operator(part.__module__)
    if isinstance(part, type):
        return _name(part) in WRITES_TO_INPUT or _is_of_the_operator(part.__module__)
    if not isinstance(part, functools.partial) and any(part_s in WRITES_WHEN_CALLED for part_s in _classes_in(part)):
        return True
    kind = type(part)
    name = _name(kind)
    return name in WRITES_TO_INPUT or name in CALLS_A_FUNCTION_OF_THE_OPERATORS or _is_of_the_operator(kind.__module__)


def _classes_in(part: Any) -> Iterator[type]:
    """Yield the classes that an object holds as values, except as its default factory."""
    factory = getattr(part, "default_factory", None)
    return (value for value in determinism.held(part) if isinstance(value, type) and value is not factory)


def _is_of_the_operator(module: str) -> bool:
    return module.partition(".")[0] not in _READ


_READ = frozenset(
    (
        "abc",
        "array",
        "builtins",
        "collections",
        "copy",
        "datetime",
        "functools",
        "itertools",
        "numpy",
        "operator",
        "random",
    )
) | {"river", "statistics", "tailrace", "types"}
"""Packages of the classes and functions in admitted estimators. All others come from the operator."""


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"
