"""What an estimator knows, as text that can be compared: every bit of it, and not where in memory it lies."""

import array
import functools
import pickle
import types
from typing import Any

import numpy as np
from river import proba

_ATOMS = (
    str,
    bytes,
    int,
    bool,
    type(None),
    complex,
    type,
    types.FunctionType,
    types.BuiltinFunctionType,
    types.ModuleType,
)


def form(value: Any) -> str:
    """Equal for two objects if, and only if, nothing but their memory addresses tells them apart."""
    out: list[str] = []
    _write(value, out, {})
    return "\n".join(out)


def _write(value: Any, out: list[str], seen: dict[int, tuple[int, Any]]) -> None:
    kind = type(value)
    if kind is float:
        out.append(value.hex())
        return
    if kind is int:
        out.append(f"{value:x}")
        return
    if issubclass(kind, _ATOMS) and kind in _ATOMS:
        out.append(
            f"{kind.__name__} {value.__module__}.{value.__qualname__}"
            if kind in (type, types.FunctionType)
            else repr(value)
        )
        return
    if isinstance(value, type):
        out.append(f"type {value.__module__}.{value.__qualname__}")
        return
    if isinstance(value, np.generic):
        out.append(f"{kind.__name__} {value.tobytes().hex() if not isinstance(value, np.object_) else value!r}")
        return
    if kind is tuple:
        out.append(f"tuple {len(value)}")
        for item in value:
            _write(item, out, seen)
        return
    if id(value) in seen:
        out.append(f"again {seen[id(value)][0]}")
        return
    seen[id(value)] = (len(seen), value)  # keeps it alive, so that its address stays its own
    if isinstance(value, np.ndarray) and value.dtype != object:
        out.append(f"array {value.dtype} {value.shape} {np.ascontiguousarray(value).tobytes().hex()}")
    elif isinstance(value, array.array):
        out.append(f"array {value.typecode} {value.tobytes().hex()}")
    elif kind in (set, frozenset):
        out.append(f"set {len(value)} {sorted(form(item) for item in value)}")
    elif kind is dict:
        out.append(f"dict {len(value)}")
        for key, item in value.items():
            _write(key, out, seen)
            _write(item, out, seen)
    elif kind is list:
        out.append(f"list {len(value)}")
        for item in value:
            _write(item, out, seen)
    elif isinstance(value, (types.MethodType, functools.partial)):
        owner = value.__self__ if isinstance(value, types.MethodType) else (value.func, value.args, value.keywords)
        out.append(f"{kind.__name__} {getattr(value, '__name__', '')}")
        _write(owner, out, seen)
    else:
        _write_reduced(value, out, seen)


def _write_reduced(value: Any, out: list[str], seen: dict[int, tuple[int, Any]]) -> None:
    reduced = value.__reduce_ex__(pickle.HIGHEST_PROTOCOL)
    out.append(f"object {type(value).__module__}.{type(value).__qualname__}")
    if isinstance(reduced, str):
        out.append(reduced)
        return
    parts = list(reduced) + [None] * (5 - len(reduced))
    if isinstance(value, proba.base.Distribution):
        parts[2] = {
            name: item for name, item in vars(value).items() if name != "_rng"
        }  # which only samples are drawn by
    for part in parts[:3]:
        seen[-id(part)] = (-1, part)
        _write(part, out, seen)
    for items in parts[3:5]:
        for item in items or ():
            _write(item, out, seen)
