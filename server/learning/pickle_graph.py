"""Looks through what an upload has become, before anyone uses it.

Objects may be shared within an estimator. Repeated sharing (a list of twice the same list, of twice the
same list …) takes a few bytes and unfolds to more values than there are atoms, for whoever prints,
hashes or encodes it. So it is measured first.
"""

from __future__ import annotations

import collections
import functools
import inspect
import types
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from river import base
from tailrace.estimators.limits import DEFAULT_LIMIT, excesses

from server.learning import pickle_allowlist as allowlist
from server.learning.pickle_allowlist import Only
from server.streams.errors import Invalid

MAX_UNFOLDED = 20_000_000
"""How many values an estimator may unfold to, a shared part counted each time that it is reached."""

MAX_DEPTH = 100
"""How deep plain containers may nest within each other."""

_LEAVES = frozenset(
    (str, int, float, bool, bytes, bytearray, complex, type(None), np.ndarray, types.FunctionType, range)
)
_CONTAINERS = (dict, list, tuple, set, frozenset, collections.deque, functools.partial, types.MethodType)


def check_graph(root: Any) -> None:
    """Raise `Invalid` if the object unfolds too far, nests too deep, or has parameters beyond their limits.

    Parameters
    ----------
    root
        What an upload was read to.
    """
    sizes: dict[int, int] = {}
    depths: dict[int, int] = {}
    path: list[tuple[Any, Iterator[Any]]] = [(root, _parts(root))]
    sizes[id(root)], depths[id(root)] = 0, 0
    while path:
        owner, parts = path[-1]
        for part in parts:
            if type(part) in _LEAVES or isinstance(part, (type, np.generic)):
                continue
            if isinstance(part, Only):
                raise Invalid(f"the upload keeps {part.name} as a value, which is not admitted.")
            if id(part) not in sizes:
                sizes[id(part)] = depths[id(part)] = 0
                path.append((part, _parts(part)))
                break
            _count(owner, part, sizes, depths)
        else:
            path.pop()
            if path:
                _count(path[-1][0], owner, sizes, depths)


def _count(owner: Any, part: Any, sizes: dict[int, int], depths: dict[int, int]) -> None:
    """Add a part's size to its owner's; one that is still being looked through (a cycle) adds nothing."""
    counted = isinstance(part, _CONTAINERS) or issubclass(type(part), base.Estimator)
    sizes[id(owner)] += 1 + (sizes[id(part)] if counted else 0)
    if sizes[id(owner)] > MAX_UNFOLDED:
        raise Invalid(
            f"the upload unfolds to more than {MAX_UNFOLDED} values: "
            f"{_name(owner)} holds the same objects again and again."
        )
    if isinstance(part, _CONTAINERS):
        depths[id(owner)] = max(depths[id(owner)], depths[id(part)] + 1)
        if depths[id(owner)] > MAX_DEPTH:
            raise Invalid(f"the upload nests {_name(part)} more than {MAX_DEPTH} deep.")


def _parts(value: Any) -> Iterator[Any]:
    """The objects that one object holds. The caller keeps the object, so what is yielded stays alive too."""
    if isinstance(value, functools.partial):
        _check_partial(value)
        return iter((value.func, value.args, value.keywords))
    if isinstance(value, types.MethodType):
        return iter((value.__self__,))
    held: list[Iterable[Any]] = []
    if isinstance(value, dict):
        held += [value.keys(), value.values()]
        if isinstance(value, collections.defaultdict):
            held.append((value.default_factory,))
    elif isinstance(value, (list, tuple, set, frozenset, collections.deque)):
        held.append(value)
    kind = type(value)
    if isinstance(attributes := getattr(value, "__dict__", None), dict):
        _check_parameters(kind, attributes)
        held += [attributes.values()]
    for cls in kind.__mro__ if allowlist.is_river_class(kind) else ():
        slots = vars(cls).get("__slots__", ())
        names = (slots,) if isinstance(slots, str) else slots
        held.append([vars(cls)[name].__get__(value) for name in names if _is_set(cls, name, value)])
    return (part for parts in held for part in parts)


def _is_set(cls: type, name: str, value: Any) -> bool:
    try:
        vars(cls)[name].__get__(value)
    except (AttributeError, KeyError):
        return False
    return True


def _check_parameters(kind: type, attributes: dict[str, Any]) -> None:
    names = _parameter_names(kind)
    for name, why in excesses(kind, {key: attributes[key] for key in names if key in attributes}):
        raise Invalid(f"the upload's {_name_of(kind)} has a parameter beyond what is admitted: {name} {why}.")


@functools.cache
def _parameter_names(kind: type) -> tuple[str, ...]:
    return tuple(inspect.signature(kind).parameters) if allowlist.is_river_class(kind) else ()


def _check_partial(value: functools.partial[Any]) -> None:
    target = value.func if isinstance(value.func, type) else type(value.func)
    for name, why in excesses(target, value.keywords):
        raise Invalid(f"the upload calls {_name_of(target)} with a parameter beyond what is admitted: {name} {why}.")
    if any(isinstance(argument, int) and abs(argument) > DEFAULT_LIMIT for argument in value.args):
        raise Invalid(f"the upload calls {_name_of(target)} with a number beyond {DEFAULT_LIMIT}.")


def _name(value: Any) -> str:
    return _name_of(type(value))


def _name_of(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")
