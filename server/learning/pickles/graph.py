"""Checks the complete object graph of an upload before it is used.

An upload may contain an object once and refer to it several times. A list that holds another list twice, which holds a
third list twice, and so on, takes a few bytes. But its size grows exponentially when it is printed, hashed or encoded.
So the size with all repetitions is computed first.
"""

from __future__ import annotations

import collections
import functools
import types
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from river import base
from tailrace.estimators.extent import Extent, TooManyCells

from server.core.errors import Invalid
from server.learning.pickles import allowlist as allowlist
from server.learning.pickles.allowlist import Only
from server.learning.pickles.objects import check_leaf, check_object, name_of

MAX_VALUES = 5_000_000
"""Most values in an estimator. A shared object counts once for each reference."""

MAX_DEPTH = 100
"""Largest nesting depth of plain containers."""

_LEAVES = frozenset(
    (str, int, float, bool, bytes, bytearray, complex, type(None), np.ndarray, types.FunctionType, range)
)
_ITERATORS: tuple[type, ...] = (type(iter([])), type(iter(())))
_VECTOR = allowlist.RUST_CLASSES["VectorDict"]
_CONTAINERS = (
    *(dict, list, tuple, set, frozenset, collections.deque, functools.partial, types.MethodType, _VECTOR),
    *_ITERATORS,
)


def check_graph(root: Any) -> None:
    """Raise `Invalid` if the object has too many values, is nested too deep, or holds an object that exceeds a limit.

    Parameters
    ----------
    root
        An object read from an upload, or an estimator from another source.
    """
    makers: list[Any] = []
    sizes: dict[int, int] = {}
    depths: dict[int, int] = {}
    path: list[tuple[Any, Iterator[Any]]] = [(root, _checked_parts(root, makers))]
    sizes[id(root)], depths[id(root)] = 0, 0
    while path:
        owner, parts = path[-1]
        for part in parts:
            if is_leaf(part):
                check_leaf(owner, part)
                continue
            if isinstance(part, Only):
                raise Invalid(f"the upload keeps {part.name} as a value, which is not admitted.")
            if id(part) not in sizes:
                sizes[id(part)] = depths[id(part)] = 0
                path.append((part, _checked_parts(part, makers)))
                break
            _count(owner, part, sizes, depths)
        else:
            path.pop()
            if path:
                _count(path[-1][0], owner, sizes, depths)
    extent = Extent()
    for maker in makers:
        try:
            extent.of(maker)
        except TooManyCells as error:
            raise Invalid(f"the upload's {name_of(type(maker))} is too large: {error}.") from error


def _count(owner: Any, part: Any, sizes: dict[int, int], depths: dict[int, int]) -> None:
    """Add a part's size to its owner's size. A part that is still being visited (a cycle) adds nothing."""
    counted = isinstance(part, _CONTAINERS) or issubclass(type(part), base.Estimator)
    sizes[id(owner)] += 1 + (sizes[id(part)] if counted else 0)
    if sizes[id(owner)] > MAX_VALUES:
        raise Invalid(
            f"the upload has more than {MAX_VALUES} values, with repeated references: "
            f"{name_of(type(owner))} refers to the same objects again and again."
        )
    if isinstance(part, _CONTAINERS):
        depths[id(owner)] = max(depths[id(owner)], depths[id(part)] + 1)
        if depths[id(owner)] > MAX_DEPTH:
            raise Invalid(f"the upload nests {name_of(type(part))} more than {MAX_DEPTH} deep.")


def _checked_parts(value: Any, makers: list[Any]) -> Iterator[Any]:
    check_object(value)
    if isinstance(value, (base.Base, functools.partial)):
        makers.append(value)
    return parts_of(value)


def is_leaf(value: Any) -> bool:
    """Return whether an object holds no other objects."""
    return type(value) in _LEAVES or isinstance(value, (type, np.generic))


def parts_of(value: Any) -> Iterator[Any]:
    """Return the objects that an object holds. They stay alive as long as the caller keeps the object."""
    if isinstance(value, functools.partial):
        return iter((value.func, value.args, value.keywords))
    if isinstance(value, types.MethodType):
        return iter((value.__self__,))
    if isinstance(value, (_VECTOR, *_ITERATORS)):
        return iter(value.__reduce__()[1])  # a copy, since the items are not accessible otherwise
    held: list[Iterable[Any]] = []
    if isinstance(value, dict):
        held += [value.keys(), value.values()]
        if isinstance(value, collections.defaultdict):
            held.append((value.default_factory,))
    elif isinstance(value, (list, tuple, set, frozenset, collections.deque)):
        held.append(value)
    kind = type(value)
    if isinstance(attributes := getattr(value, "__dict__", None), dict):
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
