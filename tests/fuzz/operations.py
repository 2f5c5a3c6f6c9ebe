"""Pickles as lists of operations, to be changed one by one and written again."""

import pickletools
import random
import struct
from collections.abc import Callable

from tests.learning.hostile_payloads import call, double, get, number, raw, text

Operations = list[bytes]

BOUNDARIES = (
    *(0, 1, -1, 2, 255, 256, 65_535, 65_536, 2**31 - 1, 2**31, 2**32, 2**53, 2**61 - 1, 2**62, 2**63 - 1, 2**63),
    *(2**64 - 1, 2**64, -(2**31), -(2**63), 10**6, 10**7, 10**9, 10**13, 10**40, 2**4000),
)
FLOATS = (0.0, -0.0, 1e-300, 1e-9, 0.5, 1.0, 1e6, 1e13, 1e300, float("inf"), float("-inf"), float("nan"))
NUMPY_CODES = ("b1", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8", "c16", "S0", "S9", "U3")
SIZES = {"b": 1, "i": 1, "u": 1, "f": 2, "c": 16, "S": 1, "U": 4}
GLOBALS = (
    ("builtins", "list"), ("builtins", "dict"), ("builtins", "set"), ("builtins", "tuple"), ("builtins", "frozenset"),
    ("builtins", "int"), ("builtins", "str"), ("builtins", "float"), ("builtins", "getattr"), ("builtins", "iter"),
    ("collections", "defaultdict"), ("collections", "deque"), ("collections", "Counter"), ("collections", "OrderedDict"),
    ("functools", "partial"), ("copy", "deepcopy"), ("operator", "itemgetter"), ("random", "Random"), ("numpy", "ones"),
    ("numpy", "array"), ("numpy", "dtype"), ("os", "system"), ("river.imblearn.hard_sampling", "Triplet"),
    ("river.ensemble.bagging", "BaggingRegressor"), ("river.stats.quantile", "RollingQuantile"),
    ("river.utils.rolling", "Rolling"), ("river.utils.sorted_window", "SortedWindow"),
    ("river.metrics.confusion", "ConfusionMatrix"), ("river.linear_model.lin_reg", "LinearRegression"),
    ("river.preprocessing.scale", "StandardScaler"), ("river.forest.adaptive_random_forest", "ARFRegressor"),
    ("river.feature_extraction.vectorize", "tokenize_using_regex_pattern"), ("river.base.base", "Base.clone"),
    ("river._river_rust.vectordict", "VectorDict"), ("river._river_rust.stats", "RsRollingQuantile"),
    ("river._river_rust.stats", "RsRollingIQR"), ("river._river_rust.drift", "AdaptiveWindowing"),
    ("river.time_series.holt_winters", "AdditiveSeason"), ("river.sketch.set", "Set"),
)  # fmt: skip
INTEGERS = ("BININT", "BININT1", "BININT2", "LONG1", "LONG4")
TEXTS = ("SHORT_BINUNICODE", "BINUNICODE")
BYTES = ("SHORT_BINBYTES", "BINBYTES", "BYTEARRAY8")


def split(data: bytes) -> Operations:
    """The operations of a pickle, without the frames, whose lengths would be wrong."""
    positions = [(opcode.name, position or 0) for opcode, _, position in pickletools.genops(data)]
    ends = [position for _, position in positions[1:]] + [len(data)]
    return [data[at:end] for (name, at), end in zip(positions, ends, strict=True) if name != "FRAME"]


def name_of(operation: bytes) -> str:
    return pickletools.code2op[operation[:1].decode("latin-1")].name  # type: ignore[attr-defined]


def boundary(chance: random.Random) -> bytes:
    """Pushes a number that is at an edge, of any kind."""
    kind = chance.randrange(4)
    if kind == 0:
        return double(chance.choice(FLOATS))
    if kind == 1:
        return scalar(chance)
    return number(chance.choice(BOUNDARIES)) if kind == 2 else chance.choice((b"N", b"\x88", b"\x89", b")", b"]", b"}"))


def scalar(chance: random.Random) -> bytes:
    """Pushes one of numpy's numbers, or an array."""
    code = chance.choice(NUMPY_CODES)
    size = SIZES[code[0]] * (int(code[1:]) if code[0] != "c" else 1) if code[0] not in "fiu" else int(code[1:])
    data = chance.choice(
        (bytes(size), b"\xff" * size, b"\x7f" * size, (10**13 % 2 ** (8 * size or 1)).to_bytes(size, "little"))
    )
    dtype = call(get("numpy", "dtype"), text(code), b"\x89", b"\x88")
    if chance.random() < 0.7:
        return call(get("numpy._core.multiarray", "scalar"), dtype, raw(data))
    shape = chance.choice(((), (1,), (0,), (1, 1), (2**40, 0), (0, 3), (3 * 10**7, 0), (2**62,)))
    place = b"(" + b"".join(map(number, shape)) + b"t"
    return call(get("numpy._core.numeric", "_frombuffer"), raw(data), dtype, place, text("C"))


def _swap_global(chance: random.Random, operations: Operations, at: int) -> None:
    operations[at : at + 1] = [b"0", b"0", get(*chance.choice(GLOBALS))]


def _change_integer(chance: random.Random, operations: Operations, at: int) -> None:
    operations[at] = boundary(chance)


def _change_text(chance: random.Random, operations: Operations, at: int) -> None:
    given = chance.choice(
        ("", "x" * 20_000, "(a+)+$", "a" * 60 + "!", "__class__", "learn_one", "os", "system", "n_models")
    )
    operations[at] = text(given) if chance.random() < 0.8 else b"X\x04\x00\x00\x00x\xed\xa0\x80"


def _change_bytes(chance: random.Random, operations: Operations, at: int) -> None:
    """Change a few of the bytes that a number, an array or a state of rust is made of, their length kept."""
    operation = bytearray(operations[at])
    start = {"SHORT_BINBYTES": 2, "BINBYTES": 5, "BYTEARRAY8": 9}[name_of(operations[at])]
    if len(operation) <= start:
        return
    for _ in range(chance.randint(1, 3)):
        place = chance.randrange(start, len(operation))
        if chance.random() < 0.5 and place + 8 <= len(operation):
            place -= (place - start) % 8 if chance.random() < 0.5 else 0
            value = chance.choice((0, 1, 2**63, 2**64 - 1, 10**13, 10**6, 2**32))
            operation[place : place + 8] = struct.pack("<Q", value)
        else:
            operation[place] = chance.randrange(256)
    operations[at] = bytes(operation)


def _drop(chance: random.Random, operations: Operations, at: int) -> None:
    del operations[at : at + chance.choice((1, 1, 1, 2, 3))]


def _insert(chance: random.Random, operations: Operations, at: int) -> None:
    given = (
        b"0",
        b"(",
        b"t",
        b"R",
        b"\x81",
        b"b",
        b"a",
        b"e",
        b"s",
        b"u",
        b"\x85",
        b"\x86",
        b"\x87",
        b"\x90",
        b"\x91",
        b"\x93",
    )
    operations.insert(at, chance.choice(given))


def _push(chance: random.Random, operations: Operations, at: int) -> None:
    operations.insert(at, boundary(chance))


def _repeat(chance: random.Random, operations: Operations, at: int) -> None:
    """Refer to what was made before, in the place of what is made here."""
    index = bytes([chance.randrange(min(len(operations), 255))])
    operations[at : at + 1] = [*([operations[at]] if chance.random() < 0.5 else []), b"h" + index]


def _duplicate(chance: random.Random, operations: Operations, at: int) -> None:
    length = chance.randint(1, 12)
    operations[at:at] = operations[at : at + length] * chance.choice((1, 1, 2, 5))


def _deepen(chance: random.Random, operations: Operations, at: int) -> None:
    """Wrap what is on top of the stack in containers again and again."""
    depth = chance.choice((1, 3, 50, 300, 3_000, 20_000))
    kind = chance.randrange(4)
    if kind == 0:
        operations[at:at] = [b"\x85"] * depth
    elif kind == 1:
        operations[at:at] = [b"\x94" if depth > 200 else b"", b"\x85\x94" * min(depth, 200)]
    elif kind == 2:  # each level holds the one before it twice, by what is noted last
        first = 4_000 + chance.randrange(100)
        levels = min(depth, 200)
        noted = [b"r" + struct.pack("<I", first + level) for level in range(levels)]
        read = [b"j" + struct.pack("<I", first + level) for level in range(levels)]
        operations[at:at] = [part for put, got in zip(noted, read, strict=True) for part in (put, got, b"\x86")]
    else:
        cls = get("collections", chance.choice(("deque", "defaultdict")))
        operations[at:at] = [b"0", cls + b")R", (cls + b")R") * min(depth, 500), b"a" * min(depth, 500)]


def _swap(chance: random.Random, operations: Operations, at: int) -> None:
    other = chance.randrange(1, len(operations) - 1)
    operations[at], operations[other] = operations[other], operations[at]


_BY_KIND: tuple[tuple[tuple[str, ...], Callable[[random.Random, Operations, int], None]], ...] = (
    (("STACK_GLOBAL",), _swap_global),
    (INTEGERS, _change_integer),
    (INTEGERS, _change_integer),
    (("BINFLOAT", "NONE", "NEWTRUE", "NEWFALSE"), _change_integer),
    (TEXTS, _change_text),
    (BYTES, _change_bytes),
    (BYTES, _change_bytes),
)
_ANYWHERE = (_drop, _insert, _push, _repeat, _duplicate, _deepen, _swap)


def mutated(chance: random.Random, data: bytes) -> bytes:
    """A pickle with one to four of its operations changed."""
    operations = split(data)
    for _ in range(chance.choice((1, 1, 1, 2, 2, 3, 4))):
        if len(operations) < 4:
            break
        if chance.random() < 0.7:
            kinds, mutate = chance.choice(_BY_KIND)
            places = [at for at, operation in enumerate(operations) if name_of(operation) in kinds]
            if places:
                mutate(chance, operations, chance.choice(places))
                operations = split(b"".join(operations))
                continue
        chance.choice(_ANYWHERE)(chance, operations, chance.randrange(1, len(operations) - 1))
        try:
            operations = split(b"".join(operations))
        except ValueError:
            break  # no longer a list of operations: it goes as it is
    return b"".join(operations)
