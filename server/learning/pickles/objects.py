"""Checks of each object in an upload, after all of it has been read.

The arguments of a partial, the items of a list and the attributes of an estimator may come at the end of the upload. So
they are checked when the upload is complete, and nothing is called before that.
"""

from __future__ import annotations

import collections
import copy
import functools
import inspect
import re
import types
from functools import cache
from typing import Any

import numpy as np
from river import base, compose, sketch
from tailrace.estimators.limits import DEFAULT_LIMIT, PARAMETER_LIMITS, bound, excesses, step_name_problem, whole

from server.core.errors import Invalid
from server.learning.pickles import allowlist as allowlist

MAX_TEXT = 10_000
"""Most characters or bytes of one string. It may be a prediction, which is stored with each observation."""

MAX_INTEGER_BITS = 1_024
"""Largest length of an integer, except for the filter of ``river.sketch.Set``."""

SIZES: dict[str, int] = {"_asize": 10**8, "_cap": 16_384, "truncation_size_prime": 1_000_000}
"""Attributes that are not parameters but sizes of arrays that river allocates, with the largest value allowed."""

MAX_ARGUMENTS = 16
"""Most values in a list that is an argument of a partial."""

_SCALARS = (str, int, float, bool, bytes, type(None))
_VECTOR = allowlist.RUST_CLASSES["VectorDict"]
_STORED = frozenset((*allowlist.PLAIN_TYPES.values(), *allowlist.COLLECTIONS.values()))
_DUCK_TYPED = re.compile(r"\w+_(one|many)|_last_step|_get_params|clone")
"""Names of methods that are looked up on any estimator, even if its class doesn't have them."""


def check_leaf(owner: Any, value: Any) -> None:
    """Raise `Invalid` if a string or a number is too long."""
    if isinstance(value, (str, bytes, bytearray)):
        if len(value) > MAX_TEXT:
            what = "characters" if isinstance(value, str) else "bytes"
            raise Invalid(
                f"the upload's {name_of(type(owner))} holds a string of {len(value)} {what}; "
                f"at most {MAX_TEXT} are admitted."
            )
    elif type(value) is int and value.bit_length() > MAX_INTEGER_BITS and not isinstance(owner, sketch.Set):
        raise Invalid(
            f"the upload's {name_of(type(owner))} holds a whole number of {value.bit_length()} bits; "
            f"at most {MAX_INTEGER_BITS} are admitted."
        )


def check_object(value: Any) -> None:
    """Raise `Invalid` if an object exceeds its limits. The message names its class and the limit."""
    if isinstance(value, functools.partial):
        check_partial(value)
        return
    kind = type(value)
    if isinstance(value, collections.deque) and (value.maxlen or 0) > 2 * DEFAULT_LIMIT:
        raise Invalid(f"the upload's deque keeps {value.maxlen} items; at most {2 * DEFAULT_LIMIT} are admitted.")
    if isinstance(value, _VECTOR):
        _check_vector(value)
    if isinstance(attributes := getattr(value, "__dict__", None), dict) and allowlist.is_river_class(kind):
        _check_attributes(kind, attributes)
        _check_steps(value, kind, attributes)


def _check_vector(value: Any) -> None:
    values = value.__reduce__()[1][0] or {}
    for item in values.values() if isinstance(values, dict) else ():
        if not isinstance(item, (int, float, np.number, np.ndarray, np.bool_)):
            raise Invalid(f"the upload's VectorDict holds a {name_of(type(item))}; expected numbers.")


def _check_attributes(kind: type, attributes: dict[str, Any]) -> None:
    names = _parameter_names(kind)
    for name, why in excesses(kind, {key: attributes[key] for key in names if key in attributes}):
        raise Invalid(f"the upload's {name_of(kind)} has a parameter beyond what is admitted: {name} {why}.")
    for name, largest in SIZES.items():
        if name in attributes and (whole(attributes[name]) or 0) > largest:
            raise Invalid(f"the upload's {name_of(kind)} has {name} beyond what is admitted: at most {largest}.")
    for name in attributes:
        if name in _methods(kind) or (_DUCK_TYPED.fullmatch(name) and not hasattr(kind, name)):
            raise Invalid(
                f"the upload's {name_of(kind)} has an attribute {name[:80]} in the place of a method, "
                "which is not admitted."
            )


@cache
def _methods(kind: type) -> frozenset[str]:
    """Return the names of a class's methods and properties. River's estimators never set attributes with these names."""
    made = (types.FunctionType, classmethod, staticmethod, property, functools.cached_property)
    return frozenset(name for cls in kind.__mro__ for name, value in vars(cls).items() if isinstance(value, made))


@cache
def _parameter_names(kind: type) -> tuple[str, ...]:
    return tuple(inspect.signature(kind).parameters)


def _check_steps(value: Any, kind: type, attributes: dict[str, Any]) -> None:
    """Check the steps of a pipeline or a union, which river doesn't check itself."""
    if isinstance(value, compose.Pipeline):
        steps = attributes.get("steps")
    elif isinstance(value, compose.TransformerUnion):  # including products
        steps = attributes.get("transformers")
    else:
        return
    if not isinstance(steps, dict):
        return
    for key, step in steps.items():
        if (problem := step_name_problem(key)) is not None:
            raise Invalid(f"the upload's {name_of(kind)} has a step whose name {problem}.")
        if isinstance(step, base.Base) and not isinstance(step, base.Estimator):
            raise Invalid(f"the upload's {name_of(kind)} has a {name_of(type(step))} as a step; expected an estimator.")


def check_partial(value: functools.partial[Any]) -> None:
    """Raise `Invalid` if a partial would call its function with arguments that exceed their limits.

    Arguments are matched to parameter names first, so it doesn't matter whether they are passed by position or by name.
    """
    function, arguments, keywords = value.func, value.args, value.keywords
    if function is np.ones or function is np.array:
        check_numpy_partial(function, arguments, keywords)
    elif function is copy.deepcopy:
        _check(len(arguments) == 1 and not keywords, function, "it needs exactly one object to copy")
    elif isinstance(function, type) and function in _STORED:
        _check_container(function, arguments, keywords)
    elif isinstance(function, types.MethodType):
        plain = all(type(item) in _SCALARS for item in (*arguments, *keywords.values()))
        _check(plain, function, "a method is given other values than plain ones")
        _check_numbers(function, type(function.__self__), dict(enumerate((*arguments, *keywords.values()))))
    else:
        try:
            named = bound(function, arguments, keywords)
        except TypeError as error:
            raise Invalid(
                f"the upload calls {_called(function)} with arguments that it doesn't take: {error}."
            ) from error
        if getattr(function, "__module__", None) == "river.feature_extraction.vectorize" and isinstance(
            function, types.FunctionType
        ):
            first = next(iter(inspect.signature(function).parameters))
            _check(first not in named, function, f"{first}, the text, is given already")
        _check_numbers(function, function if isinstance(function, type) else type(function), named)


def check_numpy_partial(function: Any, arguments: Any, keywords: Any) -> None:
    """Check ``partial(numpy.ones, 1)`` and ``partial(numpy.array, [...])``, which river uses."""
    plain = not keywords and len(arguments) == 1
    if plain and function is np.ones:
        plain = type(arguments[0]) is int and arguments[0] == 1
    elif plain:
        few = type(arguments[0]) is list and len(arguments[0]) <= MAX_ARGUMENTS
        plain = few and all(type(item) in (int, float) for item in arguments[0])
    _check(plain, function, f"numpy.{function.__name__} has other arguments than river gives it")


def _check_container(function: type, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
    """Check the arguments of a container. Only plain values are allowed, because other iterables may be endless."""
    if function is collections.defaultdict and arguments:
        arguments = arguments[1:]  # the first is its factory, which is checked separately
    for item in (*arguments, *keywords.values()):
        few = type(item) in (tuple, list) and len(item) <= MAX_ARGUMENTS
        plain = type(item) in _SCALARS or (few and all(type(one) in _SCALARS for one in item))
        _check(plain, function, f"a container is made of a {name_of(type(item))}; only plain values are admitted")
    _check_numbers(function, function, {**dict(enumerate(arguments)), **keywords})


def _check_numbers(function: Any, owner: type, named: dict[Any, Any]) -> None:
    inner = {
        name: item
        for value in named.values()
        if isinstance(value, dict)
        for name, item in value.items()
        if name in PARAMETER_LIMITS
    }
    for given in (named, inner):
        for name, why in excesses(owner, given):
            shown = f"argument {name + 1}" if isinstance(name, int) else name
            raise Invalid(
                f"the upload calls {_called(function)} with a parameter beyond what is admitted: {shown} {why}."
            )


def _check(condition: bool, function: Any, why: str) -> None:
    if not condition:
        raise Invalid(f"the upload has a functools.partial of {_called(function)} that is not admitted: {why}.")


def _called(function: Any) -> str:
    named = function if hasattr(function, "__qualname__") else type(function)
    return f"{getattr(named, '__module__', None) or 'builtins'}.{named.__qualname__}".removeprefix("builtins.")[:200]


def name_of(kind: type) -> str:
    """Return a class's name for messages."""
    return f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")
