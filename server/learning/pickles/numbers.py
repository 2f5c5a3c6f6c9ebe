"""Checked construction of numbers in an upload: NumPy arrays and scalars, arrays, and states of random generators.

Every size is compared with the bytes in the upload. Positions in a generator's state are checked, because the generator
itself doesn't check them.
"""

from __future__ import annotations

import array
import math
import random
import re
from typing import Any

import numpy as np
from numpy.random.bit_generator import SeedSequence  # type: ignore[attr-defined]

from server.learning.pickles.allowlist import Only
from server.learning.pickles.context import Context, check, full_name, integers

BIT_GENERATORS: dict[str, Any] = {
    "MT19937": np.random.MT19937,
    "PCG64": np.random.PCG64,
    "PCG64DXSM": np.random.PCG64DXSM,
    "Philox": np.random.Philox,
    "SFC64": np.random.SFC64,
}
_DTYPE = re.compile(r"[<>|=]?(b1|i[1248]|u[1248]|f[248]|c8|c16|[SU]\d{1,6})")
MAX_EMPTY_ROWS = 10_000
"""Most rows of an array without numbers. Each row becomes an object if the array is converted to lists."""

_RANDOM_STATE_BYTES = 3_000


def make_random(context: Context, *arguments: Any) -> random.Random:
    check(not arguments, "random.Random", "it is given arguments")
    context.charge(_RANDOM_STATE_BYTES, "random.Random")
    return random.Random()


def set_random(context: Context, generator: random.Random, state: Any) -> None:
    """Set the state of a ``random.Random``: 625 numbers."""
    name = "random.Random"
    check(type(state) is tuple and len(state) == 3 and state[0] == 3, name, "its state is not of version 3")
    numbers, gauss = state[1:]
    check(type(numbers) is tuple and len(numbers) == 625, name, "its state is not of 625 numbers")
    check(integers(numbers, 0, 2**32 - 1) and numbers[624] <= 624, name, "its state is out of range")
    check(gauss is None or type(gauss) is float, name, "its next gauss is not a number")
    generator.setstate(state)


def make_dtype(context: Context, code: Any = None, align: Any = False, copied: Any = True) -> Any:
    check(type(code) is str and _DTYPE.fullmatch(code) is not None, "numpy.dtype", f"its type is {str(code)[:40]!r}")
    return np.dtype(code, False, True)


def set_dtype(context: Context, dtype: Any, state: Any) -> None:
    """Set the byte order of a dtype, which has no fields, no shape and no flags."""
    plain = type(state) is tuple and len(state) == 8 and state[0] in (3, 4) and state[1] in ("<", ">", "|", "=")
    check(plain and state[2:5] == (None, None, None), "numpy.dtype", "it has fields or a shape")
    size = dtype.itemsize if dtype.kind in "SU" else -1
    sizes = (size, 4 if dtype.kind == "U" else 1) if dtype.kind in "SU" else (-1, -1)
    check(state[5:7] == sizes and state[7] in (0, 8), "numpy.dtype", "its size does not match its type")
    dtype.__setstate__(state)


def make_ndarray_shell(context: Context, cls: Any = None, shape: Any = None, code: Any = None) -> Any:
    name = "numpy._core.multiarray._reconstruct"
    check(isinstance(cls, Only) and cls.name == "numpy.ndarray", name, f"it makes {full_name(cls)}")
    check(shape == (0,) and code in (b"b", "b"), name, "its first shape is not (0,)")
    context.charge(200, name)
    return np.empty((0,), np.int8)


def set_ndarray(context: Context, values: Any, state: Any) -> None:
    """Set shape and numbers of an array. Its size must be that of the bytes in the upload."""
    name = "numpy.ndarray"
    check(type(state) is tuple and len(state) == 5, name, "its state is not of five parts")
    _, shape, dtype, fortran, data = state
    _check_array(name, shape, dtype, data)
    check(type(fortran) is bool, name, "its order is not a truth value")
    context.charge(len(data), name)
    values.__setstate__((1, shape, dtype, fortran, bytes(data)))


def _check_array(name: str, shape: Any, dtype: Any, data: Any) -> None:
    check(isinstance(dtype, np.dtype) and not dtype.hasobject, name, "it holds objects, not numbers")
    check(type(shape) is tuple and len(shape) <= 32 and integers(shape, 0, 2**40), name, "its shape is malformed")
    check(type(data) in (bytes, bytearray), name, "its numbers are not bytes")
    size = math.prod(shape) * dtype.itemsize
    check(size == len(data), name, f"its shape {shape} takes {size} bytes and the upload holds {len(data)}")
    rows = math.prod(max(1, length) for length in shape)
    check(
        size > 0 or rows <= MAX_EMPTY_ROWS, name, f"its shape {shape} has {rows} empty rows; at most {MAX_EMPTY_ROWS}"
    )


def make_frombuffer(context: Context, data: Any = None, dtype: Any = None, shape: Any = None, order: Any = None) -> Any:
    name = "numpy._core.numeric._frombuffer"
    _check_array(name, shape, dtype, data)
    check(order in ("C", "F"), name, "its order is neither C nor F")
    context.charge(len(data), name)
    return np.frombuffer(bytearray(data), dtype=dtype).reshape(shape, order=order)


def make_create_array(context: Context, maker: Any, arguments: Any, state: Any, attributes: Any = None) -> Any:
    name = "dill._dill._create_array"
    shell = isinstance(maker, Only) and maker.name == "numpy._core.multiarray._reconstruct"
    check(shell and type(arguments) is tuple and not attributes, name, "it doesn't make a plain array")
    values = make_ndarray_shell(context, *arguments)
    set_ndarray(context, values, state)
    return values


def make_scalar(context: Context, dtype: Any = None, data: Any = None) -> Any:
    name = "numpy._core.multiarray.scalar"
    _check_array(name, (), dtype, data)
    return np.frombuffer(data, dtype=dtype)[0]


def make_array(context: Context, cls: Any, code: Any, machine_format: Any, data: Any) -> Any:
    name = "array._array_reconstructor"
    check(isinstance(cls, Only) and cls.name == "array.array", name, f"it makes {full_name(cls)}")
    check(type(code) is str and len(code) == 1 and code in "bBhHiIlLqQfd", name, "its type is not numeric")
    check(type(data) is bytes and integers([machine_format], 0, 21), name, "its numbers are not bytes")
    context.charge(8 * len(data), name)
    return array._array_reconstructor(array.array, code, machine_format, data)  # type: ignore[attr-defined]


def make_bit_generator(context: Context, kind: Any = None) -> Any:
    found: Any = BIT_GENERATORS.get(kind.name.rpartition(".")[2] if isinstance(kind, Only) else str(kind))
    check(found is not None, "numpy.random._pickle.__bit_generator_ctor", f"it makes {full_name(kind)}")
    context.charge(_RANDOM_STATE_BYTES, "numpy.random")
    return found()


def set_bit_generator(context: Context, generator: Any, state: Any) -> None:
    """Set the state of a NumPy bit generator, which doesn't check the positions in it."""
    seeds = None
    if type(state) is tuple and len(state) == 2:
        state, seeds = state
    name = f"numpy.random.{type(generator).__name__}"
    numbers: Any = state.get("state") if type(state) is dict else None
    check(
        numbers is not None and state.get("bit_generator") == type(generator).__name__,
        name,
        "its state is for another generator",
    )
    check(type(numbers) is dict, name, "its state is not a dict")
    for key, value in (*state.items(), *numbers.items()):
        number = isinstance(value, np.ndarray) or integers([value], 0, 2**128 - 1)
        check(number or key in ("bit_generator", "state"), name, f"its {str(key)[:40]!r} is not a number")
    shapes = {"MT19937": {"key": (624,)}, "Philox": {"counter": (4,), "key": (2,)}, "SFC64": {"state": (4,)}}
    for key, shape in shapes.get(type(generator).__name__, {}).items():
        value = numbers.get(key)
        check(
            isinstance(value, np.ndarray) and value.shape == shape and value.dtype.kind == "u",
            name,
            f"its {key} is not {shape}",
        )
    if "pos" in numbers:
        check(integers([numbers["pos"]], 0, 624), name, "its position is not in 0 … 624")
    if "buffer_pos" in state:
        buffer = state.get("buffer")
        whole = isinstance(buffer, np.ndarray) and buffer.shape == (4,) and buffer.dtype.kind == "u"
        check(whole and integers([state["buffer_pos"]], 0, 4), name, "its buffer is malformed")
    generator.state = state
    if seeds is not None:
        check(type(seeds) is SeedSequence, name, "its seeds are not a SeedSequence")
        generator.__setstate__((generator.state, seeds))


def make_random_state(context: Context, generator: Any = None, *_: Any) -> Any:
    return np.random.RandomState(_as_bit_generator(context, generator))


def make_generator(context: Context, generator: Any = None, *_: Any) -> Any:
    return np.random.Generator(_as_bit_generator(context, generator))


def _as_bit_generator(context: Context, generator: Any) -> Any:
    if type(generator) in BIT_GENERATORS.values():
        return generator
    return make_bit_generator(context, generator)


def set_random_state(context: Context, generator: Any, state: Any) -> None:
    """Set the state of a ``RandomState``: its bit generator's state and its next Gaussian number."""
    name = "numpy.random.RandomState"
    check(type(state) is dict and type(state.get("gauss", 0.0)) is float, name, "its next gauss is not a number")
    check(integers([state.get("has_gauss", 0)], 0, 1), name, "has_gauss is neither 0 nor 1")
    bits = {key: value for key, value in state.items() if key not in ("gauss", "has_gauss")}
    set_bit_generator(context, generator._bit_generator, bits)
    generator.set_state(state)


def make_seed_sequence(context: Context, cls: Any = None, checksum: Any = None, state: Any = None) -> Any:
    name = "numpy.random.bit_generator.__pyx_unpickle_SeedSequence"
    check(isinstance(cls, Only) and cls.name.endswith(".SeedSequence"), name, f"it makes {full_name(cls)}")
    seeds = SeedSequence(0)
    if state is not None:
        set_seed_sequence(context, seeds, state)
    return seeds


def set_seed_sequence(context: Context, seeds: Any, state: Any) -> None:
    """Set the entropy of a ``SeedSequence``. It computes its pool of numbers again."""
    name = "numpy.random.SeedSequence"
    check(type(state) is tuple and len(state) == 5, name, "its state is not of five parts")
    entropy, spawned, _, pool_size, spawn_key = state
    entropies = entropy if type(entropy) in (list, tuple) else [0 if entropy is None else entropy]
    check(len(entropies) <= 64 and integers(entropies, 0, 2**256), name, "its entropy is not a number")
    check(integers([spawned], 0, 2**31), name, "its children are not a number")
    check(integers([pool_size], 4, 64), name, "its pool is not of 4 to 64 numbers")
    check(
        type(spawn_key) is tuple and len(spawn_key) <= 64 and integers(spawn_key, 0, 2**64),
        name,
        "its key is malformed",
    )
    seeds.__init__(entropy, spawn_key=spawn_key, pool_size=pool_size, n_children_spawned=spawned)


def set_normal(context: Context, distribution: Any, state: Any) -> None:
    """Set mean and standard deviation of a ``statistics.NormalDist``."""
    if type(state) is tuple and len(state) == 2 and state[0] is None and type(state[1]) is dict:
        state = (state[1].get("_mu"), state[1].get("_sigma"))
    numbers = type(state) is tuple and len(state) == 2 and all(isinstance(part, (int, float)) for part in state)
    check(numbers, "statistics.NormalDist", "its state is not two numbers")
    distribution._mu, distribution._sigma = state
