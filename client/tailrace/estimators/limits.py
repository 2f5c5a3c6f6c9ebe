"""Limits of an estimator's parameters, so that a large number does not fill a server's memory.

River accepts any number. Some constructors allocate memory of that size (a rolling quantile reserves its whole window
at once, and ends the process if this fails), and some loops have that length. So parameters of estimators from
untrusted sources must be checked. For the size that several parameters make together, see `extent`.
"""

from __future__ import annotations

import inspect
import math
import numbers
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

DEFAULT_LIMIT = 1_000_000
"""Largest whole number of parameters that are not listed below."""

PARAMETER_LIMITS: dict[str, int] = {
    "burn_in_sweeps": 1_000,
    "capacity": 1_000_000,
    "centres": 64,
    "code_size": 1_000,
    "d": 100,
    "components": 1_024,
    "decimals": 100,
    "degree": 10,
    "graph_k": 10_000,
    "height": 16,
    "horizon": 10_000,
    "m": 10_000,
    "max_bins": 100_000,
    "max_buckets": 10_000,
    "max_iter_e_step": 1_000,
    "maxlen": 1_000_000,
    "memory_estimate_period": 10**12,
    "most": 10_000,
    "n_bins": 100_000,
    "n_clusters": 10_000,
    "n_components": 10_000,
    "n_estimators": 1_000,
    "n_factors": 10_000,
    "n_features": 2**32,
    "n_iters": 10_000,
    "n_models": 1_000,
    "n_random_cuts": 10_000,
    "n_splits": 10_000,
    "n_thresholds": 10_000,
    "n_trees": 1_000,
    "number_of_samples": 1_000,
    "order": 1_000,
    "p": 1_000,
    "q": 1_000,
    "sd": 100,
    "seed": 2**64,
    "shape": 1_000_000,
    "sp": 1_000,
    "sq": 1_000,
    "warm_up": 100_000,
    "window_size": 1_000_000,
}
"""Largest whole number of parameters that multiply work or memory, and of some that do not, such as seeds."""

CLASS_LIMITS: dict[str, dict[str, int]] = {
    "BaseFM": {"n_factors": 100},
    "GapEncoder": {"n_components": 1_000},
    "GaussianRandomProjector": {"n_components": 1_000},
    "HOFM": {"degree": 4},
    "LDA": {"n_components": 1_000},
    "PolynomialExtender": {"degree": 5},
    "RBFSampler": {"n_components": 1_000},
    "RecursiveRidge": {"memory": 10**9},
    "RuntimeRegressor": {"degree": 4, "max_terms": 256, "memory": 10**9},
    "RuntimeTerms": {"degree": 4, "limit": 256},
    "SparseRandomProjector": {"n_components": 1_000},
}
"""Limits for parameters of a class and its subclasses that differ from `PARAMETER_LIMITS`. They are lower if the cost
grows with the product of the parameter and the number of features, or with a power of it."""

MAX_EXACT_CODE = 16
"""Largest code size of an output code that lists all of its 2**size words."""

MAX_TREE_NODES = 200_000
"""Largest ``n_trees · 2**height`` of estimators that grow complete trees before the first observation."""

MAX_SHAPE = 1_000_000
"""Largest number of elements of a shape that is given as a parameter."""

SMALLEST: dict[str, float] = {"delta": 1e-9, "epsilon": 1e-5, "error_rate": 1e-3, "fp_rate": 1e-9}
"""Smallest values of parameters of ``river.sketch``: the size of a sketch is proportional to their inverse."""

MAX_STEP_NAME = 100
"""Largest number of characters in the name of a step of a pipeline or union."""

FEWEST: dict[str, int] = {"clock": 1, "max_buckets": 1, "window_size": 1}
"""Smallest whole number of some parameters. With smaller ones, river's Rust code panics."""

TOKENIZER_PATTERN = r"(?u)\b\w[\w\-]+\b"
"""River's default pattern, the only one that is admitted. Other regular expressions may take forever on a text."""


def whole(value: Any) -> float | None:
    """Returns the largest absolute value of the whole numbers in a value. None if there are none.

    Parameters
    ----------
    value
        Any value, such as an ``int``, a ``bool``, a float that is whole, a NumPy number, or an array of numbers.

    Returns
    -------
    The absolute value. It is infinite for an infinite float.
    """
    if isinstance(value, numbers.Integral):
        return abs(int(value))
    if isinstance(value, numbers.Real):
        number = float(value)
        return abs(number) if math.isinf(number) or number.is_integer() else None
    if (dtype := getattr(value, "dtype", None)) is not None and getattr(dtype, "kind", "") in "biuf":
        return max((abs(float(item)) for item in value.flat), default=None)
    return None


def excesses(owner: type, parameters: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yields the parameters that exceed their limits.

    Parameters
    ----------
    owner
        The class that takes the parameters.
    parameters
        Values by name of the parameter. Only numbers, sequences of numbers and tokenizer patterns are checked.

    Yields
    ------
    The name of a parameter, and what is wrong with its value.
    """
    for name, value in parameters.items():
        if isinstance(value, (tuple, list)):
            yield from _sequence(name, value)
        elif name in {"pattern", "tokenizer_pattern"}:
            if not isinstance(value, str) or value != TOKENIZER_PATTERN:
                yield name, f"is not river's default pattern, {TOKENIZER_PATTERN}; no other is admitted"
        else:
            yield from _number(owner, name, value)
    code = whole(parameters.get("code_size"))
    if code is not None and code > MAX_EXACT_CODE and parameters.get("coding_method") == "exact":
        yield "code_size", f"is {_shown(code)}; at most {MAX_EXACT_CODE} is admitted with the exact coding method"
    trees, height = whole(parameters.get("n_trees")), whole(parameters.get("height"))
    if trees is not None and height is not None and height <= PARAMETER_LIMITS["height"]:
        nodes = trees * 2**height
        if nodes > MAX_TREE_NODES:
            yield "n_trees", f"and height make {_shown(nodes)} nodes; at most {MAX_TREE_NODES} are admitted"


def step_name_problem(name: object) -> str | None:
    """Returns what is wrong with the name of a step; None if it is valid. Messages, pages and file names show it."""
    if not isinstance(name, str):
        return f"is a {type(name).__name__}; expected a string"
    if not name or len(name) > MAX_STEP_NAME:
        return f"has {len(name)} characters; expected 1 to {MAX_STEP_NAME}"
    if not name.isprintable():
        return f"is {name!r}; expected printable characters"
    return None


def _number(owner: type, name: str, value: Any) -> Iterator[tuple[str, str]]:
    number = whole(value)
    limit = _limit(owner, name)
    if number is not None and number > limit and (name in PARAMETER_LIMITS or not _is_measure(value)):
        yield name, f"is {_shown(number)}; at most {limit} is admitted"
    elif number is not None and name in FEWEST and number < FEWEST[name]:
        yield name, f"is {value}; at least {FEWEST[name]} is admitted"
    elif name in SMALLEST and owner.__module__.startswith("river.sketch.") and isinstance(value, numbers.Real):
        least = SMALLEST[name]
        if not float(value) >= least:
            yield name, f"is {value}; at least {least} is admitted"


def _sequence(name: str, value: tuple[Any, ...] | list[Any]) -> Iterator[tuple[str, str]]:
    sizes = [size for item in value if (size := _counted(item)) is not None]
    if any(size > DEFAULT_LIMIT for size in sizes):
        yield name, f"holds a number beyond {DEFAULT_LIMIT}"
    elif name == "shape" and math.prod(sizes) > MAX_SHAPE:
        yield name, f"makes {_shown(math.prod(sizes))} numbers; at most {MAX_SHAPE} are admitted"


def _counted(item: Any) -> float | None:
    return None if _is_measure(item) else whole(item)


def _is_measure(value: Any) -> bool:
    """Whether a value is a float, or contains floats. Floats count nothing, except in parameters with a known limit."""
    if isinstance(value, numbers.Real):
        return not isinstance(value, numbers.Integral)
    return getattr(getattr(value, "dtype", None), "kind", "") == "f"


def _limit(owner: type, name: str) -> int:
    return _class_limits(owner).get(name, PARAMETER_LIMITS.get(name, DEFAULT_LIMIT))


@cache
def _class_limits(owner: type) -> dict[str, int]:
    found: dict[str, int] = {}
    for cls in getattr(owner, "__mro__", ()):
        if cls.__module__.startswith(("river.", "tailrace.")):
            for name, limit in CLASS_LIMITS.get(cls.__name__, {}).items():
                found[name] = min(limit, found.get(name, limit))
    return found


def is_panic(error: BaseException) -> bool:
    """Whether an error is a panic of river's Rust code. A panic is a BaseException, but not an Exception."""
    return type(error).__name__ == "PanicException"


def bound(function: Any, arguments: tuple[Any, ...], keywords: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the arguments of a call by name of the parameter.

    If a function has no signature, its positional arguments are named ``argument 1``, ``argument 2`` and so on.

    Parameters
    ----------
    function
        A class, function or method.
    arguments, keywords
        Its positional and keyword arguments. Required arguments may be missing.

    Raises
    ------
    TypeError
        If the function does not take these arguments.
    """
    try:
        signature = inspect.signature(function)
    except ValueError:
        return {**{f"argument {index}": value for index, value in enumerate(arguments, 1)}, **keywords}
    given = signature.bind_partial(*arguments, **keywords).arguments
    found: dict[str, Any] = {}
    for name, value in given.items():
        if signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD:
            found.update(value)
        else:
            found[name] = value
    return found


def _shown(value: float) -> str:
    if isinstance(value, int) and value.bit_length() >= 128:
        return f"a number of {value.bit_length()} bits"
    return str(int(value)) if math.isfinite(value) and value < 2**127 else f"{value:g}"
