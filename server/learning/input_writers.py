"""Which estimators change the mapping of features that they are given.

River's estimators are given the features of an observation as a dict, and most only read it. One that writes to it would
change what other models on the stream see, and what is stored, had they all been given the same dict.
``tests/learning/test_input_writers.py`` tries each admitted estimator and reads river's source.
"""

import functools
from collections.abc import Iterator
from types import FunctionType
from typing import Any

from river import utils

from server.learning import determinism

WRITES_TO_INPUT = {
    "river.compose.renamer.Renamer": "it takes the old name out and puts the new one in",
}
"""Classes whose objects change the mapping that they are given, with what they do."""

WRITES_WHEN_CALLED = {
    utils.VectorDict: "it turns integers and booleans of the mapping into floats, as it takes the mapping for its own",
}
"""Classes that change a mapping that they are made of. An upload may hold the class where river expects a function."""

CALLS_A_FUNCTION_OF_THE_OPERATORS = ("river.compose.func.FuncTransformer",)
"""What it does depends on its function, which comes from a module that the operator trusts, so it may well write."""


def writes_to_input(estimator: Any) -> bool:
    """Whether the estimator may change a mapping that it is given: it is, or holds, something that does.

    True says that it may, and a model is not harmed by having a copy. So it is true also where the part that writes comes
    after one that made a mapping of its own, and for whatever comes from a module that the operator trusts.

    Parameters
    ----------
    estimator
        An estimator, trained or not.
    """
    return any(_writes(part) for part in determinism.parts(estimator))


def _writes(part: Any) -> bool:
    if isinstance(part, functools.partial) and part.func in WRITES_WHEN_CALLED and not part.args:
        return True  # with arguments of its own, it isn't made of what it is given
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
    """The classes that an object holds as values, other than to make its default values of them."""
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
"""Where the classes and functions come from that an admitted estimator holds. All others are the operator's."""


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"
