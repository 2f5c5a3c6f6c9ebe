"""The hyperparameters of an estimator as plain data, by step, in riverapi's form.

River's own ``_get_params`` expands everything that an estimator consists of, without a limit. An upload may contain a step
that is shared a thousand times, an array of 2**40 empty rows, or text that can't be encoded. So the parameters are read one by
one here, with a limit.
"""

import collections
import functools
import inspect
import math
import types
from collections.abc import Iterator
from typing import Any

import numpy as np
from river import base, compose

from server.core.printable import Plain

MOST_ROWS = 1_000
"""Most values of an array that is shown in full. Of a larger array, the type and the shape are shown."""


def hyperparameters(estimator: Any) -> Any:
    """Return the parameters by step, as nested plain data of limited size."""
    plain = Plain(other=_other)
    if not isinstance(estimator, base.Base):
        return {"class": type(estimator).__name__}
    return _parameters(plain, estimator, 0)


def _parameters(plain: Plain, owner: Any, depth: int) -> Any:
    if depth >= plain.deepest or plain.room <= 0:
        return "…"
    steps = _steps(owner)
    found: dict[str, Any] = {}
    for name, value in steps.items() if steps is not None else _own(owner):
        if plain.room <= 0:
            found["…"] = "more"
            break
        plain.room -= 1
        key = plain.key(name)
        if steps is not None:
            found[key] = _step(plain, value, depth + 1)
        elif isinstance(value, base.Base):
            inner = _parameters(plain, value, depth + 1)
            found[key] = [type(value).__name__, inner] if inner else [type(value).__name__]
        else:
            found[key] = plain.of(value, depth + 1)
    return found


def _step(plain: Plain, step: Any, depth: int) -> Any:
    return _parameters(plain, step, depth) if isinstance(step, base.Base) else plain.of(step, depth)


def _steps(owner: Any) -> dict[Any, Any] | None:
    """Return the steps of a pipeline or a union, by name; None for anything else."""
    steps: Any = None
    if isinstance(owner, compose.Pipeline):
        steps = getattr(owner, "steps", None)
    elif isinstance(owner, compose.TransformerUnion):
        steps = getattr(owner, "transformers", None)
    return steps if isinstance(steps, dict) else None


def _own(owner: Any) -> Iterator[tuple[str, Any]]:
    """Yield an estimator's attributes for its constructor's parameters, with the names of river's ``_get_params``."""
    for name, kind in _signature(owner.__class__):
        value = getattr(owner, name, None)
        if kind is inspect.Parameter.VAR_POSITIONAL:
            if value:
                yield "_POSITIONAL_ARGS", value
        elif kind is inspect.Parameter.VAR_KEYWORD:
            yield from value.items() if isinstance(value, dict) else ()
        else:
            yield name, value


@functools.cache
def _signature(cls: type) -> tuple[tuple[str, Any], ...]:
    found = inspect.signature(cls.__init__).parameters.items()  # type: ignore[misc]
    return tuple((name, parameter.kind) for name, parameter in found if name != "self")


def _other(plain: Plain, value: Any, depth: int) -> Any:
    """Return a value that isn't plain data as text or a list."""
    if isinstance(value, np.generic):
        return plain.of(value.item(), depth) if value.dtype.kind in "biufUS" else plain.text(_class(type(value)))
    if isinstance(value, np.ndarray):
        if value.dtype.kind in "biufU" and value.ndim <= 3 and _rows(value) <= MOST_ROWS:
            return plain.of(value.tolist(), depth)
        return plain.text(f"an array of {value.dtype.str} with shape {value.shape}")
    if isinstance(value, collections.deque):
        return plain.list(value, len(value), depth)
    if isinstance(value, type):
        return plain.text(value.__name__)
    if isinstance(value, base.Base):
        steps = _steps(value)
        if isinstance(value, compose.Pipeline) and steps is not None:
            return plain.text(" | ".join(type(step).__name__ for step in list(steps.values())[:100]))
        return plain.text(type(value).__name__)
    if isinstance(value, (types.FunctionType, types.BuiltinFunctionType, types.MethodType)):
        return plain.text(f"{value.__module__}.{value.__qualname__}")
    if isinstance(value, functools.partial):
        return plain.text(f"functools.partial of {_class(value.func)}")
    return plain.text(_class(type(value)))


def _rows(array: "np.ndarray[Any, Any]") -> int:
    """Return the number of lists or values of an array as nested lists: 2**40 empty rows are 2**40 lists."""
    return max(math.prod(array.shape[:upto]) for upto in range(array.ndim + 1))


def _class(value: Any) -> str:
    return f"{getattr(value, '__module__', '?')}.{getattr(value, '__qualname__', type(value).__qualname__)}"
