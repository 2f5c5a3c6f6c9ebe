"""Checked calls: the callables that an uploaded pickle may call, each as a function that checks the arguments first.

A pickle makes objects by calling callables that it names. Each function here checks the arguments before it allocates anything,
charges the size of the result to the upload's allowance, and then calls the real callable.
"""

from __future__ import annotations

import collections
import datetime
import functools
import operator
import random
import re
import statistics
import types
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.random.bit_generator import SeedSequence  # type: ignore[attr-defined]

from server.learning.pickles import allowlist as allowlist
from server.learning.pickles import numbers as numbers
from server.learning.pickles.allowlist import Only
from server.learning.pickles.context import Context, check, full_name, integers
from server.learning.pickles.keys import PLAIN_KEYS, check_collisions

MAX_WINDOW = 1_000_000
"""Largest integer argument of a class written in Rust: it may reserve that many items at once."""

_RANGE = re.compile(r"range\((-?\d{1,5}), (-?\d{1,5})(?:, (-?\d{1,5}))?\)")


def is_callable_value(value: Any, context: Context) -> bool:
    """Return whether a factory or partial may call the value: a plain type, or an admitted class or function."""
    return (
        any(value is cls for cls in allowlist.PLAIN_TYPES.values())
        or any(value is cls for cls in allowlist.COLLECTIONS.values())
        or isinstance(value, (functools.partial, types.MethodType))
        or allowlist.is_river_class(value)
        or allowlist.is_river_class(type(value))
        or allowlist.is_admitted_function(value)
        or allowlist.is_trusted_class(value, context.trusted_modules)
        or allowlist.is_trusted_class(type(value), context.trusted_modules)
        or (isinstance(value, types.FunctionType) and allowlist.is_trusted_function(value, context.trusted_modules))
    )


def _partial(context: Context, function: Any = None, *arguments: Any) -> functools.partial[Any]:
    check(not arguments, "functools.partial", "arguments come with its state")
    context.charge(200, "functools.partial")
    if isinstance(function, Only):
        check(function.real is not None, "functools.partial", f"it holds {function.name}")
        return functools.partial(function.real)  # type: ignore[arg-type, misc]
    check(is_callable_value(function, context), "functools.partial", f"it holds {full_name(function)}")
    return functools.partial(function)


def set_partial(context: Context, partial: functools.partial[Any], state: Any) -> None:
    """Set function and arguments of a partial. :mod:`server.learning.pickles.objects` checks them when they are complete."""
    name = "functools.partial"
    check(type(state) is tuple and len(state) == 4, name, "its state is not of four parts")
    function, arguments, keywords, attributes = state
    function = function.real if isinstance(function, Only) else function
    check(function is partial.func, name, "its state holds another function than it was created with")
    check(type(arguments) is tuple and type(keywords) is dict, name, "its arguments are not a tuple and a dict")
    check(not attributes, name, "it has attributes")
    check(all(type(key) is str for key in keywords), name, "a keyword is not a string")
    partial.__setstate__(state if function is state[0] else (function, arguments, keywords, attributes))  # type: ignore[attr-defined]


def _defaultdict(context: Context, factory: Any = None, *rest: Any) -> Any:
    check(not rest, "collections.defaultdict", "it is given more than a factory")
    check(
        factory is None or is_callable_value(factory, context),
        "collections.defaultdict",
        f"its factory is {full_name(factory)}",
    )
    context.charge(250, "collections.defaultdict")
    return context.chained(collections.defaultdict(factory))


def _counter(context: Context, counts: Any = None) -> Any:
    counts = {} if counts is None else counts
    check(type(counts) is dict, "collections.Counter", "it is not given a dict")
    context.charge(250 + 100 * len(counts), "collections.Counter")
    return collections.Counter(counts)


def _ordered_dict(context: Context, *arguments: Any) -> Any:
    check(not arguments, "collections.OrderedDict", "it is given arguments")
    context.charge(250, "collections.OrderedDict")
    return collections.OrderedDict()


def _deque(context: Context, items: Any = (), maxlen: Any = None) -> Any:
    check(items == () and type(items) is tuple, "collections.deque", "it is given items")
    check(maxlen is None or integers([maxlen], 0, 2**62), "collections.deque", "its length is not a whole number")
    context.charge(800, "collections.deque")
    return context.chained(collections.deque(maxlen=maxlen))


def _set_of(cls: type) -> Callable[..., Any]:
    name = f"builtins.{cls.__name__}"

    def make(context: Context, items: Any = ()) -> Any:
        check(type(items) in (list, tuple), name, "it is not given a list")
        check(all(type(item) in PLAIN_KEYS for item in items), name, "it holds more than plain values")
        context.charge(216 + 72 * len(items), name)
        check_collisions(name, items)
        return cls(items)

    return make


def _complex(context: Context, real: Any, imaginary: Any) -> complex:
    check(type(real) is float and type(imaginary) is float, "builtins.complex", "it is not given two floats")
    return complex(real, imaginary)


def _range(context: Context, *arguments: Any) -> range:
    check(1 <= len(arguments) <= 3 and integers(arguments, -1000, 1000), "builtins.range", "it is beyond ±1000")
    return range(*arguments)


def _eval_repr(context: Context, text: Any = None) -> range:
    """Make a range from its text. Dill evaluates the text; here it is parsed."""
    name = "dill._dill._eval_repr"
    found = _RANGE.fullmatch(text) if type(text) is str else None
    check(found is not None, name, f"it evaluates {str(text)[:80]!r}")
    return _range(context, *(int(part) for part in found.groups() if part is not None))  # type: ignore[union-attr]


def _iter(context: Context, items: Any = None) -> Any:
    check(type(items) in (list, tuple), "builtins.iter", "it is not given a list")
    return iter(items)


def _getattr(context: Context, owner: Any = None, name: Any = None, *rest: Any) -> Any:
    check(type(name) is str and not rest, "builtins.getattr", "the attribute's name is not a string")
    if owner is str and name == "lower":
        return str.lower
    reads = f"{full_name(owner)}.{name[:80]}"
    holder = owner if isinstance(owner, type) else type(owner)
    check(allowlist.is_river_class(holder) or holder is random.Random, "builtins.getattr", f"it reads {reads}")
    function = next((vars(cls)[name] for cls in holder.__mro__ if name in vars(cls)), None)
    wanted: Any = getattr(function, "__func__", function)
    check(allowlist.is_admitted_function(wanted), "builtins.getattr", f"it reads {reads}")
    if isinstance(function, staticmethod):
        return wanted
    if isinstance(owner, type):
        check(isinstance(function, classmethod), "builtins.getattr", f"it reads {reads}")
    return types.MethodType(wanted, owner)


def _method(context: Context, function: Any = None, owner: Any = None) -> Any:
    check(isinstance(function, types.FunctionType), "types.MethodType", f"it binds {full_name(function)}")
    bound = _getattr(context, owner, function.__name__)
    check(bound.__func__ is function, "types.MethodType", f"it binds {full_name(function)} to another class")
    return bound


def _dill_getattr(context: Context, owner: Any = None, name: Any = None, *_: Any) -> Any:
    check(owner is str and name == "lower", "dill._dill._getattr", f"it reads {full_name(owner)}.{str(name)[:80]}")
    return str.lower


def _load_type(context: Context, name: Any = None) -> Any:
    if name in ("MethodType", "PartialType"):
        return _METHOD if name == "MethodType" else allowlist.find("functools", "partial")
    if name == "ItemGetterType":
        return allowlist.find("operator", "itemgetter")
    check(type(name) is str and name in allowlist.PLAIN_TYPES, "dill._dill._load_type", f"it loads {str(name)[:80]!r}")
    return allowlist.PLAIN_TYPES[name]


_METHOD = Only("types.MethodType")


def _reconstructor(context: Context, cls: Any = None, parent: Any = None, state: Any = None) -> Any:
    plain = isinstance(parent, Only) and parent.name == "builtins.object" and state is None
    check(plain and allowlist.is_river_class(cls), "copyreg._reconstructor", f"it makes {full_name(cls)}")
    return new(context, cls, ())


def _itemgetter(context: Context, *keys: Any) -> Any:
    check(len(keys) == 1 and type(keys[0]) in (str, int), "operator.itemgetter", "its key is not one name")
    return operator.itemgetter(*keys)


def _component(cls: type, count: int) -> Callable[..., Any]:
    def make(context: Context, *arguments: Any) -> Any:
        name = f"river.time_series.holt_winters.{cls.__name__}"
        check(len(arguments) == count and type(arguments[0]) in (int, float), name, f"it takes {count} numbers")
        check(integers(arguments[1:], 0, MAX_WINDOW), name, f"its season is not in 0 … {MAX_WINDOW}")
        context.charge(800, name)
        return cls(*arguments)

    return make


def _vector_dict(
    context: Context, values: Any = None, factory: Any = None, mask: Any = None, copied: Any = True
) -> Any:
    name = "river.utils.VectorDict"
    check(values is None or type(values) is dict, name, "it is not given a dict")
    check(factory is None or is_callable_value(factory, context), name, f"its factory is {full_name(factory)}")
    check(mask is None or type(mask) in (set, frozenset), name, "its mask is not a set")
    check(type(copied) is bool, name, "whether it is copied is not a truth value")
    entries = values or {}
    plain = all(
        type(v) in (int, float, bool) or isinstance(v, (np.number, np.ndarray, np.bool_)) for v in entries.values()
    )
    check(plain, name, "it holds more than numbers")
    context.charge(250 + 100 * len(entries), name)
    return allowlist.RUST_CLASSES["VectorDict"](values, factory, mask, copied)


def _datetime(cls: type, sizes: tuple[int, ...]) -> Callable[..., Any]:
    name = f"datetime.{cls.__name__}"

    def make(context: Context, packed: Any = None, zone: Any = None) -> Any:
        check(type(packed) is bytes and len(packed) in sizes, name, "it is not in Python's packed form")
        check(zone is None or type(zone) is datetime.timezone, name, "its time zone is not a fixed offset")
        return cls(packed) if zone is None else cls(packed, zone)

    return make


def _timedelta(context: Context, *parts: Any) -> datetime.timedelta:
    check(len(parts) == 3 and integers(parts, -(10**9), 10**9), "datetime.timedelta", "it is not three numbers")
    return datetime.timedelta(*parts)


def _timezone(context: Context, offset: Any = None, *name: Any) -> datetime.timezone:
    named = len(name) <= 1 and all(type(part) is str for part in name)
    check(type(offset) is datetime.timedelta and named, "datetime.timezone", "it is not an offset and a name")
    return datetime.timezone(offset, *name)


def set_list_iterator(context: Context, iterator: Any, state: Any) -> None:
    """Set the position of an iterator."""
    check(integers([state], 0, 2**40), "builtins.iter", "its position is not a number")
    iterator.__setstate__(state)


def new(context: Context, cls: Any, arguments: Any) -> Any:
    """Make an empty instance of an admitted class, without calling its constructor.

    Raises
    ------
    Invalid
        If instances of the class may not be made this way, or the arguments are wrong.
    """
    if isinstance(cls, Only) and cls.name == "statistics.NormalDist":
        check(arguments == (), cls.name, "it is given arguments")
        return statistics.NormalDist()
    check(isinstance(cls, type), full_name(cls), "it is not a class")
    name = f"{cls.__module__}.{cls.__qualname__}"
    if cls in allowlist.RUST_CLASSES.values():
        plain = all(type(value) in (int, float, bool) for value in arguments)
        check(plain and cls.__name__ != "VectorDict", name, "it is given other values than numbers")
        check(all(abs(value) <= MAX_WINDOW for value in arguments), name, f"a number is beyond {MAX_WINDOW}")
        context.charge(1_000 + 16 * sum(max(0, value) for value in arguments if type(value) is int), name)
        return cls(*arguments)
    trusted = allowlist.is_trusted_class(cls, context.trusted_modules)
    check(trusted or allowlist.is_river_class(cls), name, "its instances are not created this way")
    context.charge(300, name)
    if issubclass(cls, tuple):
        check(len(arguments) == len(getattr(cls, "_fields", ())), name, "it is given a wrong number of fields")
        return tuple.__new__(cls, arguments)
    check(trusted or arguments == (), name, "it is given arguments")
    return cls.__new__(cls, *arguments)


def _component_calls() -> dict[Any, Callable[..., Any]]:
    names = {"AdditiveLevel": 1, "MultiplicativeLevel": 1, "Trend": 1, "AdditiveSeason": 2, "MultiplicativeSeason": 2}
    found = {name: allowlist.find("river.time_series.holt_winters", name) for name in names}
    return {cls: _component(cls, names[name]) for name, cls in found.items()}


CALLS: dict[str, Callable[..., Any]] = {
    "array._array_reconstructor": numbers.make_array,
    "builtins.getattr": _getattr,
    "builtins.iter": _iter,
    "builtins.range": _range,
    "copyreg._reconstructor": _reconstructor,
    "datetime.date": _datetime(datetime.date, (4,)),
    "datetime.datetime": _datetime(datetime.datetime, (10,)),
    "datetime.time": _datetime(datetime.time, (6,)),
    "datetime.timedelta": _timedelta,
    "datetime.timezone": _timezone,
    "dill._dill._create_array": numbers.make_create_array,
    "dill._dill._eval_repr": _eval_repr,
    "dill._dill._getattr": _dill_getattr,
    "dill._dill._load_type": _load_type,
    "functools.partial": _partial,
    "numpy._core.multiarray._reconstruct": numbers.make_ndarray_shell,
    "numpy._core.multiarray.scalar": numbers.make_scalar,
    "numpy._core.numeric._frombuffer": numbers.make_frombuffer,
    "numpy.dtype": numbers.make_dtype,
    "numpy.random._pickle.__bit_generator_ctor": numbers.make_bit_generator,
    "numpy.random._pickle.__generator_ctor": numbers.make_generator,
    "numpy.random._pickle.__randomstate_ctor": numbers.make_random_state,
    "numpy.random.bit_generator.__pyx_unpickle_SeedSequence": numbers.make_seed_sequence,
    "operator.itemgetter": _itemgetter,
    "random.Random": numbers.make_random,
    "types.MethodType": _method,
}
"""Checked calls by the name of an `Only`."""


@functools.cache
def calls_of_values() -> dict[Any, Callable[..., Any]]:
    """Return the checked calls of classes that may be both stored and called."""
    return {
        collections.Counter: _counter,
        collections.OrderedDict: _ordered_dict,
        collections.defaultdict: _defaultdict,
        collections.deque: _deque,
        complex: _complex,
        frozenset: _set_of(frozenset),
        set: _set_of(set),
        allowlist.RUST_CLASSES["VectorDict"]: _vector_dict,
        **_component_calls(),
    }


SET_STATE: dict[type, Callable[[Context, Any, Any], None]] = {
    functools.partial: set_partial,
    random.Random: numbers.set_random,
    statistics.NormalDist: numbers.set_normal,
    np.ndarray: numbers.set_ndarray,
    np.random.RandomState: numbers.set_random_state,
    SeedSequence: numbers.set_seed_sequence,
    type(iter([])): set_list_iterator,
    type(iter(())): set_list_iterator,
    **dict.fromkeys(numbers.BIT_GENERATORS.values(), numbers.set_bit_generator),
}
"""Functions that set the state of objects of other libraries, by class. Dtypes are handled separately, since each has its own
class."""
