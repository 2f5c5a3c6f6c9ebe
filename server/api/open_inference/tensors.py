"""Tensors of the Open Inference Protocol: their data types, and their values from JSON or from bytes."""

import math
import struct
from typing import Any, NamedTuple

import numpy as np
from django.conf import settings

from server.core.errors import Invalid, TooLarge
from server.core.validation import check_text, format_value

SIZES = {
    "BOOL": "?", "UINT8": "u1", "UINT16": "<u2", "UINT32": "<u4", "UINT64": "<u8", "INT8": "i1", "INT16": "<i2",
    "INT32": "<i4", "INT64": "<i8", "FP16": "<f2", "BF16": "<u2", "FP32": "<f4", "FP64": "<f8",
}  # fmt: skip
"""NumPy's name of each data type of fixed size."""
BYTES = "BYTES"
DATATYPES = (*SIZES, BYTES)
_WHOLE = {
    f"{sign}INT{bits}": (-(1 << bits - 1) if not sign else 0, (1 << bits - (not sign)) - 1)
    for sign in ("", "U")
    for bits in (8, 16, 32, 64)
}
MOST_DIMENSIONS = 8
BINARY_SIZE = "binary_data_size"


class Tensor(NamedTuple):
    """A tensor of a request: its name, shape, and values in row-major order."""

    name: str
    shape: tuple[int, ...]
    values: list[Any]


def check_shape(shape: Any, field: str) -> tuple[int, ...]:
    """Return a tensor's shape.

    Raises
    ------
    Invalid
        If it isn't a list of whole numbers that aren't negative.
    """
    if type(shape) is not list or not 1 <= len(shape) <= MOST_DIMENSIONS:
        raise Invalid(f"{field} is {format_value(shape)}: expected a list of 1 to {MOST_DIMENSIONS} sizes", field=field)
    for size in shape:
        if type(size) is not int or size < 0:
            raise Invalid(f"{field} has {format_value(size)}: expected whole numbers of at least 0", field=field)
    return tuple(shape)


def read(given: dict[str, Any], field: str, data: memoryview | None) -> Tensor:
    """Return a tensor of a request.

    Parameters
    ----------
    given
        The object that describes it.
    data
        Its values as bytes; None if ``given`` has them.

    Raises
    ------
    Invalid
        If it isn't valid. The message names the tensor.
    TooLarge
        If it has more values than a request may have.
    """
    name, kind = given["name"], given["datatype"]
    check_text(name, f"{field}.name", settings.TAILRACE.max_name_length)
    if kind not in DATATYPES:
        raise Invalid(
            f"{field}.datatype is {format_value(kind)}: expected {', '.join(DATATYPES)}", field=f"{field}.datatype"
        )
    shape = check_shape(given["shape"], f"{field}.shape")
    count = math.prod(shape)
    most = settings.TAILRACE.max_points * settings.TAILRACE.max_features
    if count > most:
        raise TooLarge(f"{field} has {count} values by its shape: the most allowed is {most}", field=f"{field}.shape")
    if data is None:
        values = _listed(given["data"], kind, count, f"{field}.data")
    elif kind == BYTES:
        values = _texts(data, count, field)
    else:
        values = _numbers(data, kind, count, field)
    return Tensor(name, shape, values)


def _numbers(data: memoryview, kind: str, count: int, field: str) -> list[Any]:
    dtype = np.dtype(SIZES[kind])
    if len(data) != count * dtype.itemsize:
        raise Invalid(
            f"{field} has {len(data)} bytes: its shape and data type take {count * dtype.itemsize}", field=field
        )
    found = np.frombuffer(data, dtype)
    if kind == "BF16":
        found = (found.astype("<u4") << 16).view("<f4")
    elif kind == "BOOL":
        raw = np.frombuffer(data, "u1")
        if raw.size and raw.max() > 1:
            raise Invalid(f"{field} has the byte {raw.max()} as a BOOL: expected 0 or 1", field=field)
    listed: list[Any] = found.tolist()
    return listed


def _texts(data: memoryview, count: int, field: str) -> list[str]:
    """Return texts, each of which follows its length in four bytes."""
    found: list[str] = []
    at = 0
    while at < len(data) and len(found) <= count:
        if at + 4 > len(data):
            break
        (length,) = struct.unpack_from("<I", data, at)
        at += 4
        if at + length > len(data):
            break
        found.append(_decoded(bytes(data[at : at + length]), f"{field}.data[{len(found)}]"))
        at += length
    if at != len(data) or len(found) != count:
        raise Invalid(
            f"{field} does not have {count} strings, each after its length in 4 bytes: {len(found)} were found in "
            f"{len(data)} bytes",
            field=field,
        )
    return found


def _decoded(data: bytes, field: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as exc:
        raise Invalid(f"{field} is not UTF-8 at byte {exc.start}", field=field) from exc


def _listed(data: Any, kind: str, count: int, field: str) -> list[Any]:
    """Return the values of JSON, flat or nested by dimension."""
    if type(data) is not list:
        raise Invalid(f"{field} is {format_value(data)}: expected a list", field=field)
    values = data
    for _ in range(MOST_DIMENSIONS):
        if not any(type(item) is list for item in values):
            break
        if not all(type(item) is list for item in values):
            raise Invalid(f"{field} mixes lists and values on one level: expected one or the other", field=field)
        values = [value for item in values for value in item]
    if len(values) != count:
        raise Invalid(f"{field} has {len(values)} value(s): expected {count} by the tensor's shape", field=field)
    return [_checked(value, kind, field, index) for index, value in enumerate(values)]


def _checked(value: Any, kind: str, field: str, index: int) -> Any:
    given = type(value)
    if kind == BYTES:
        if given is str:
            return value
        expected = "a string"
    elif kind == "BOOL":
        if given is bool:
            return value
        expected = "true or false"
    elif kind in _WHOLE:
        low, high = _WHOLE[kind]
        if given is float and value.is_integer():
            value, given = int(value), int
        if given is int and low <= value <= high:
            return value
        expected = f"a whole number from {low} to {high}"
    else:
        if given is int or given is float:
            return float(value)
        expected = "a number"
    raise Invalid(
        f"{field}[{index}] is {format_value(value)} in a tensor of {kind}: expected {expected}",
        field=f"{field}[{index}]",
    )


def binary(values: list[Any], kind: str) -> bytes:
    """Return values as bytes, little-endian. None is NaN."""
    if kind == BYTES:
        encoded = [value.encode(errors="backslashreplace") for value in values]
        return b"".join(struct.pack("<I", len(one)) + one for one in encoded)
    if kind == "FP64":
        values = [math.nan if value is None else value for value in values]
    return np.array(values, np.dtype(SIZES[kind])).tobytes()
