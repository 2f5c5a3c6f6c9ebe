"""What a pickle says, as lines of text, without loading it: nothing is imported, called or built.

Two pickles of equal states may differ, since a pickle also says which texts, numbers and tuples are the same object. The lines
don't, so they are equal if the states are equal bit for bit.
"""

import pickletools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from server.core.errors import Invalid

BY_VALUE = ("numpy dtype",)
"""Callables whose results have no identity that matters."""

LINES_A_BYTE = 50
"""Most lines for each byte of a pickle. What it says once may occur often, but not without limit."""


@dataclass(eq=False)
class _Made:
    """Something that a pickle makes: a container, or the result of a call.

    Attributes
    ----------
    kind
        ``list``, ``dict``, ``set``, or ``call``.
    items
        What it consists of.
    """

    kind: str
    items: list[Any] = field(default_factory=list)


class _Mark:
    pass


def lines(pickle: bytes) -> Iterator[str]:
    """Yield what a pickle of protocol 4 says, such as a stored state.

    Raises
    ------
    Invalid
        If it is not a pickle, or one with operations that the server doesn't write.
    """
    try:
        yield from _written(_parsed(pickle), [LINES_A_BYTE * len(pickle)])
    except Invalid:
        raise
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, RecursionError) as exc:
        raise Invalid(
            f"the state is not a pickle that this server wrote: {type(exc).__name__}: {str(exc)[:200]}"
        ) from exc


def _parsed(pickle: bytes) -> Any:
    stack: list[Any] = []
    memo: dict[Any, Any] = {}

    def popped() -> list[Any]:
        """Return what is above the last mark, and take it from the stack."""
        at = len(stack) - 1
        while not isinstance(stack[at], _Mark):
            at -= 1
        found = stack[at + 1 :]
        del stack[at:]
        return found

    for operation, argument, _ in pickletools.genops(pickle):
        name = operation.name
        if name in _ATOMS:
            stack.append(argument)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in _EMPTY:
            stack.append(_Made(_EMPTY[name]))
        elif name in ("PROTO", "FRAME"):
            continue
        elif name == "STOP":
            break
        elif name == "MARK":
            stack.append(_Mark())
        elif name == "MEMOIZE":
            memo[len(memo)] = stack[-1]
        elif name in ("BINPUT", "LONG_BINPUT"):
            memo[argument] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(memo[argument])
        elif name == "POP":
            stack.pop()
        elif name == "POP_MARK":
            popped()
        elif name == "EMPTY_TUPLE":
            stack.append(())
        elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
            count = int(name[-1])
            stack[-count:] = [tuple(stack[-count:])]
        elif name == "TUPLE":
            stack.append(tuple(popped()))
        elif name == "FROZENSET":
            stack.append(_Made("set", popped()))
        elif name in ("APPENDS", "SETITEMS", "ADDITEMS"):
            found = popped()
            stack[-1].items += found if name != "SETITEMS" else zip(found[::2], found[1::2], strict=True)
        elif name == "APPEND":
            found = stack.pop()
            stack[-1].items.append(found)
        elif name == "SETITEM":
            value, key = stack.pop(), stack.pop()
            stack[-1].items.append((key, value))
        elif name == "STACK_GLOBAL":
            attribute, module = stack.pop(), stack.pop()
            stack.append(_Global(f"{module} {attribute}"))
        elif name in ("REDUCE", "NEWOBJ"):
            given, function = stack.pop(), stack.pop()
            stack.append(_Made("call", [function, given]))
        elif name == "NEWOBJ_EX":
            named, given, function = stack.pop(), stack.pop(), stack.pop()
            stack.append(_Made("call", [function, given, named]))
        elif name == "BUILD":
            state = stack.pop()
            stack[-1].items.append(state)
        else:
            raise Invalid(f"the state has the operation {name}, which this server doesn't write")
    (found,) = stack
    return found


class _Global(str):
    """The name of a class or a function."""


_ATOMS = frozenset(
    [
        "BININT",
        "BININT1",
        "BININT2",
        "LONG1",
        "LONG4",
        "BINFLOAT",
        "SHORT_BINUNICODE",
        "BINUNICODE",
        "BINUNICODE8",
        "SHORT_BINBYTES",
        "BINBYTES",
        "BINBYTES8",
        "BYTEARRAY8",
    ]
)
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY = {"EMPTY_LIST": "list", "EMPTY_DICT": "dict", "EMPTY_SET": "set"}


def _written(value: Any, left: list[int]) -> Iterator[str]:
    """Yield the lines of a value, in order. What occurs again is named by its number. ``left`` counts the lines down."""
    seen: dict[int, int] = {}
    waiting: list[Any] = [value]
    while waiting:
        left[0] -= 1
        if left[0] < 0:
            raise Invalid("the state says far more than it has bytes")
        one = waiting.pop()
        if isinstance(one, tuple):
            yield f"tuple {len(one)}"
            waiting += reversed(one)
        elif not isinstance(one, _Made):
            yield _atom(one)
        elif id(one) in seen and not _is_by_value(one):
            yield f"again {seen[id(one)]}"
        else:
            seen[id(one)] = len(seen)
            yield f"{one.kind} {len(one.items)}"
            if one.kind == "set":
                yield from sorted("\n".join(_written(item, left)) for item in one.items)
            else:
                waiting += reversed(one.items)


def _is_by_value(one: _Made) -> bool:
    return one.kind == "call" and isinstance(one.items[0], _Global) and one.items[0] in BY_VALUE


def _atom(value: Any) -> str:
    if isinstance(value, _Global):
        return f"global {value}"
    if isinstance(value, (float, bytes, bytearray)):
        return f"{type(value).__name__} {value.hex()}"
    # Python limits the digits of decimal numbers, and not those of hexadecimal ones.
    return f"int {value:x}" if type(value) is int else f"{type(value).__name__} {value!r}"
