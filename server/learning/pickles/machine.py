"""A pickle machine that checks each operation before it runs it.

Python's unpickler allows one check only, when a global is looked up, and none of how it is used. This machine reads an
upload one operation at a time, as `pickletools` decodes it (which compares every declared length with the data). It
checks each operation together with the objects that it acts on. The upload is read only once, so that no second reader
can interpret it differently.
"""

from __future__ import annotations

import collections
import pickletools
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from tailrace.estimators.limits import is_panic

from server.core.errors import Invalid
from server.learning.pickles import allowlist as allowlist
from server.learning.pickles.allowlist import Only
from server.learning.pickles.calls import CALLS, SET_STATE, calls_of_values, new
from server.learning.pickles.context import Context, check, full_name
from server.learning.pickles.keys import Keys
from server.learning.pickles.numbers import set_dtype

MAX_OPERATIONS = 2_000_000
"""Most operations in one upload, enough for a trained forest of about 8 MB."""

MAX_MARKS = 1_000
"""Most marks at a time, which is the nesting depth. A pickler with Python's default recursion limit stays below it."""

MAX_INTEGER_BITS = 8 * 2**16
"""Largest length of an integer, such as the filter of ``river.sketch.Set``."""

MAX_SECONDS = 20.0
"""Time limit for reading one upload, s. It also stops uploads whose keys are chosen to have equal hashes."""

_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_LITERALS = frozenset(
    ("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8")
) | frozenset(("SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "BYTEARRAY8"))
_MARK = object()


class Machine:
    """Reads one pickle.

    Parameters
    ----------
    data
        The pickle.
    trusted_modules
        See :func:`server.learning.pickles.allowlist.find`.
    """

    def __init__(self, data: bytes, trusted_modules: Sequence[str] = ()) -> None:
        self.data = data
        self.context = Context(32 * 2**20 + 16 * len(data), trusted_modules)
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.marks: list[int] = []
        self.keys = Keys(self.context.trusted_modules, self._check_time)
        self.deadline = 0.0
        self.handlers: dict[str, Callable[[Any], None]] = {
            name.removeprefix("_op_").upper(): getattr(self, name) for name in dir(self) if name.startswith("_op_")
        }

    def run(self) -> Any:
        """Return the object that the pickle describes.

        Raises
        ------
        Invalid
            If an operation, a global or a call is not admitted.
        ValueError, IndexError, KeyError, TypeError
            If the pickle is malformed.
        """
        self.deadline = time.monotonic() + MAX_SECONDS
        push, handlers = self.stack.append, self.handlers
        for count, (opcode, argument, position) in enumerate(pickletools.genops(self.data)):
            name = opcode.name
            if name in _LITERALS:
                if type(argument) is str and not argument.isascii():
                    _check_text(argument)
                push(argument)
            elif name in _CONSTANTS:
                push(_CONSTANTS[name])
            elif name == "STOP":
                check_end(self.data, position or 0)
                if len(self.stack) != 1:
                    raise ValueError(f"{len(self.stack)} objects are left at its end")
                return self.stack.pop()
            else:
                handler = handlers.get(name)
                if handler is None:
                    raise self._unknown(name, argument)
                handler(argument)
            if count >= MAX_OPERATIONS:
                raise Invalid(
                    f"the upload takes more than {MAX_OPERATIONS} operations to read; send the estimator untrained."
                )
            if not count & 1023:
                self._check_time()
        raise ValueError("it has no STOP operation")

    def _check_time(self) -> None:
        if time.monotonic() > self.deadline:
            raise Invalid(f"the upload takes longer than {MAX_SECONDS:.0f} s to read; send the estimator untrained.")

    def _unknown(self, name: str, argument: Any) -> Invalid:
        if name == "INST":
            module, _, rest = argument.partition(" ")
            allowlist.find(module, rest, self.context.trusted_modules)
        why = {
            "BINPERSID": "a persistent id points outside of the upload",
            "PERSID": "a persistent id points outside of the upload",
            "EXT1": "an extension code stands for a global that isn't named",
            "EXT2": "an extension code stands for a global that isn't named",
            "EXT4": "an extension code stands for a global that isn't named",
            "NEXT_BUFFER": "its buffer is outside of the upload",
            "READONLY_BUFFER": "its buffer is outside of the upload",
        }.get(name, "Python's pickler doesn't write it since protocol 3")
        return Invalid(f"the upload has the pickle operation {name}, which is not admitted: {why}.")

    # Stack

    def _items(self) -> list[Any]:
        """Remove and return all items above the last mark, and remove the mark."""
        at = self.marks.pop()
        items = self.stack[at:]
        del self.stack[at:]
        return items

    def _pop(self) -> Any:
        if self.marks and len(self.stack) <= self.marks[-1]:
            raise IndexError("an operation takes more than is there")
        return self.stack.pop()

    def _target(self) -> Any:
        if self.marks and len(self.stack) <= self.marks[-1]:
            raise IndexError("an operation takes more than is there")
        return self.stack[-1]

    def _op_proto(self, version: int) -> None:
        if not 3 <= version <= 5:
            raise Invalid(f"the upload is written in pickle protocol {version}; send protocol 3, 4 or 5.")

    def _op_long4(self, number: int) -> None:
        if number.bit_length() > MAX_INTEGER_BITS:
            raise Invalid(
                f"the upload has a whole number of {number.bit_length()} bits (LONG4), which no estimator holds."
            )
        self.stack.append(number)

    def _op_frame(self, length: int) -> None:
        pass

    def _op_mark(self, _: Any) -> None:
        if len(self.marks) >= MAX_MARKS:
            raise Invalid(f"the upload nests objects more than {MAX_MARKS} deep (MARK).")
        self.marks.append(len(self.stack))

    def _op_pop(self, _: Any) -> None:
        if self.marks and len(self.stack) == self.marks[-1]:
            self.marks.pop()
        else:
            self.stack.pop()

    def _op_pop_mark(self, _: Any) -> None:
        self._items()

    def _op_memoize(self, _: Any) -> None:
        self.memo[len(self.memo)] = self._target()

    def _op_binput(self, index: int) -> None:
        self.memo[index] = self._target()

    _op_long_binput = _op_binput

    def _op_binget(self, index: int) -> None:
        self.stack.append(self.memo[index])

    _op_long_binget = _op_binget

    # Containers

    def _op_empty_list(self, _: Any) -> None:
        self.stack.append([])

    def _op_empty_dict(self, _: Any) -> None:
        self.stack.append({})

    def _op_empty_tuple(self, _: Any) -> None:
        self.stack.append(())

    def _op_empty_set(self, _: Any) -> None:
        self.context.charge(216, "builtins.set")
        self.stack.append(set())

    def _op_tuple(self, _: Any) -> None:
        self.stack.append(tuple(self._items()))

    def _op_tuple1(self, _: Any) -> None:
        self.stack.append((self._pop(),))

    def _op_tuple2(self, _: Any) -> None:
        second, first = self._pop(), self._pop()
        self.stack.append((first, second))

    def _op_tuple3(self, _: Any) -> None:
        third, second, first = self._pop(), self._pop(), self._pop()
        self.stack.append((first, second, third))

    def _op_frozenset(self, _: Any) -> None:
        made: set[Any] = set()
        self._add_all(made, self._items())
        self.stack.append(frozenset(made))

    def _op_append(self, _: Any) -> None:
        self._extend(self._pop_then_target())

    def _op_appends(self, _: Any) -> None:
        self._extend((self._items(), self._target()))

    def _op_setitem(self, _: Any) -> None:
        value, key = self._pop(), self._pop()
        self._insert(self._target(), [key, value])

    def _op_setitems(self, _: Any) -> None:
        items = self._items()
        self._insert(self._target(), items)

    def _op_additems(self, _: Any) -> None:
        items, target = self._items(), self._target()
        check(type(target) is set, full_name(target), "items are added to it")
        self._add_all(target, items)

    def _pop_then_target(self) -> tuple[list[Any], Any]:
        return [self._pop()], self._target()

    def _extend(self, what: tuple[list[Any], Any]) -> None:
        items, target = what
        if isinstance(target, list):
            list.extend(target, items)
        else:
            check(isinstance(target, collections.deque), full_name(target), "items are appended to it")
            collections.deque.extend(target, items)

    def _insert(self, target: Any, items: list[Any]) -> None:
        check(isinstance(target, dict), full_name(target), "items are set in it")
        if len(items) % 2:
            raise ValueError("a key has no value")
        kind = collections.OrderedDict if isinstance(target, collections.OrderedDict) else dict
        for index in range(0, len(items), 2):
            self.keys.check(target, items[index])
            kind.__setitem__(target, items[index], items[index + 1])

    def _add_all(self, target: set[Any], items: list[Any]) -> None:
        for item in items:
            self.keys.check(target, item)
            target.add(item)

    # Globals, calls and states

    def _op_global(self, name: str) -> None:
        module, _, rest = name.partition(" ")
        self.stack.append(allowlist.find(module, rest, self.context.trusted_modules))

    def _op_stack_global(self, _: Any) -> None:
        name, module = self._pop(), self._pop()
        if type(name) is not str or type(module) is not str:
            raise ValueError("a global's name is not a string")
        self.stack.append(allowlist.find(module, name, self.context.trusted_modules))

    def _op_reduce(self, _: Any) -> None:
        arguments, called = self._pop(), self._pop()
        check(type(arguments) is tuple, full_name(called), "its arguments are not a tuple")
        self.stack.append(self._call(called, arguments))

    def _call(self, called: Any, arguments: tuple[Any, ...]) -> Any:
        if isinstance(called, Only):
            call = CALLS.get(called.name)
            check(call is not None, called.name, "it is not called by any estimator")
            return call(self.context, *arguments)  # type: ignore[misc]
        if isinstance(called, type):
            if (call := calls_of_values().get(called)) is not None:
                return call(self.context, *arguments)
            if allowlist.is_trusted_class(called, self.context.trusted_modules):
                return called(*arguments)
        raise Invalid(
            f"the upload calls {full_name(called)}, which is not admitted: no estimator needs it when it is read."
        )

    def _op_newobj(self, _: Any) -> None:
        arguments, cls = self._pop(), self._pop()
        check(type(arguments) is tuple, full_name(cls), "its arguments are not a tuple")
        self.stack.append(new(self.context, cls, arguments))

    def _op_newobj_ex(self, _: Any) -> None:
        keywords, arguments, cls = self._pop(), self._pop(), self._pop()
        check(type(arguments) is tuple and keywords == {}, full_name(cls), "it is given keywords")
        self.stack.append(new(self.context, cls, arguments))

    def _op_build(self, _: Any) -> None:
        state, target = self._pop(), self._target()
        kind = type(target)
        if (set_state := SET_STATE.get(kind)) is not None:
            set_state(self.context, target, state)
        elif isinstance(target, np.dtype):
            set_dtype(self.context, target, state)
        elif kind in allowlist.RUST_CLASSES.values():
            _set_rust_state(target, state)
        else:
            trusted = allowlist.is_trusted_class(kind, self.context.trusted_modules)
            check(trusted or allowlist.is_river_class(kind), full_name(target), "its state is set")
            _set_state(target, state)


def _check_text(text: str) -> None:
    """Refuse text with a lone surrogate, which can't be encoded."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise Invalid(
            f"the upload holds text that is not Unicode: {text[:40]!a} has half a character (a lone surrogate)."
        ) from error


def check_end(data: bytes, position: int) -> None:
    """Raise `Invalid` if data follows the pickle."""
    if (rest := len(data) - position - 1) > 0:
        raise Invalid(
            f"the upload has {rest} bytes after the end of its pickle; send dill.dumps(model) and nothing else."
        )


def _set_state(target: Any, state: Any) -> None:
    kind = type(target)
    name = f"{kind.__module__}.{kind.__qualname__}"
    if type(state) is dict and (set_state := getattr(kind, "__setstate__", None)) is not None:
        _check_attributes(name, state)
        set_state(target, state)
        return
    slots: Any = None
    if type(state) is tuple and len(state) == 2:
        state, slots = state
    if state is not None:
        check(type(state) is dict and hasattr(target, "__dict__"), name, "its state is not a dict")
        _check_attributes(name, state)
        vars(target).update(state)
    if slots is not None:
        check(type(slots) is dict, name, "its slots are not a dict")
        own = {slot for cls in kind.__mro__ for slot in _slots_of(cls)}
        for key, value in slots.items():
            check(key in own, name, f"it has no slot {str(key)[:80]!r}")
            object.__setattr__(target, key, value)


def _slots_of(cls: type) -> Sequence[str]:
    slots = vars(cls).get("__slots__", ())
    return (slots,) if isinstance(slots, str) else tuple(slots)


def _check_attributes(name: str, state: dict[Any, Any]) -> None:
    for key in state:
        check(type(key) is str, name, "an attribute's name is not a string")
        check(not (key.startswith("__") and key.endswith("__")), name, f"it sets {key[:80]}")


def _set_rust_state(target: Any, state: Any) -> None:
    kind = type(target)
    name = f"{kind.__module__}.{kind.__qualname__}"
    check(type(state) is bytes and hasattr(target, "__setstate__"), name, "its state is not bytes")
    arguments = _new_arguments(target)
    try:
        target.__setstate__(state)
        same = target.__getstate__() == state
    except BaseException as error:
        if not isinstance(error, Exception) and not is_panic(error):
            raise
        same = False
    check(same, name, "its state is malformed")
    # A copy is constructed with arguments from the state. A window allocates memory by them, so they must not change.
    check(_new_arguments(target) == arguments, name, "its state has another size than it was created with")


def _new_arguments(target: Any) -> list[Any]:
    """Return the integer constructor arguments of a copy of an object written in Rust. It allocates memory by them."""
    get = getattr(target, "__getnewargs__", None)
    return [value for value in get() if type(value) is int] if get is not None else []
