"""Columns of a record, and how a block of them is stored.

A block is a line of JSON (the number of rows, each column's type and size, the names of segments and labels) and then the
columns, each compressed on its own, so that a reader decompresses only what it needs. The bytes of numbers are stored by
significance, all first bytes first, as *planes*. A plane that looks random (the last digits of measured numbers) is stored as it
is: compressing it saves nothing, and reading it is several times faster.
"""

import zlib
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from server.core.errors import Unavailable
from server.core.json_codec import dumps_exact, loads

LEVEL = 0.95
"""Probability of the interval ``lower`` to ``upper``."""

QUANTILES = {"q50": 0.5, "q80": 0.8, "q90": 0.9, "q95": 0.95, "q99": 0.99}
"""Upper bounds that targets which are times have, and the probability that the time is below."""

BANDS = ("lower", "upper", *QUANTILES)
TYPES = {
    "at": "<f8",
    "state": "<u1",
    "y": "<f8",
    "prediction": "<f8",
    "segment": "<u2",
    **dict.fromkeys(BANDS, "<f4"),
}
"""Type of each column. ``at`` is a time in seconds since 1970. Of a classifier, ``y`` and ``prediction`` are indexes of labels.
The bands are rounded to five digits (:func:`rounded`)."""

SCORED, NOT_SCORED, SKIPPED = 1, 2, 3
"""Values of ``state``: the prediction was scored; there was nothing to score; the model skipped the observation."""

_DROPPED_BITS = 7
"""Bits of a band's 23 that aren't kept. What is left is exact to 8 in a million."""

VERSION = 1
RANDOM = 7.0
"""Entropy of a plane's bytes from which it is stored as it is, bits."""

LEVEL_OF_ZLIB = 3


class Unreadable(Unavailable):
    """A stored block can't be read: it is damaged, or of another version."""

    code = "record_unreadable"


@dataclass
class Columns:
    """Consecutive observations in columns of the same length.

    Attributes
    ----------
    first
        Number of the first observation.
    values
        Column by name. Bands that the model doesn't give are absent.
    segments, labels
        Names that ``segment``, and the ``y`` and ``prediction`` of a classifier, refer to by index.
    """

    first: int
    values: dict[str, np.ndarray]
    segments: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.values["state"])

    @property
    def last(self) -> int:
        return self.first + len(self) - 1

    @property
    def errors(self) -> np.ndarray:
        """Prediction minus target, or 1 for a wrong label and 0 for the right one. NaN where nothing was scored."""
        difference = self.values["prediction"] - self.values["y"]
        if self.labels:
            difference = np.where(np.isnan(difference), np.nan, difference != 0)
        return np.where(self.values["state"] == SCORED, difference, np.nan)

    def part(self, first: int, last: int) -> "Columns":
        """Return the observations from ``first`` to ``last``."""
        low, high = max(0, first - self.first), max(0, last + 1 - self.first)
        values = {name: column[low:high] for name, column in self.values.items()}
        return Columns(self.first + low, values, self.segments, self.labels)


def joined(parts: Sequence[Columns]) -> Columns:
    """Return the observations of all parts, of which each continues the one before. At least one is needed."""
    if len(parts) == 1:
        return parts[0]
    segments: list[str] = []
    labels: list[str] = []
    collected: dict[str, list[np.ndarray]] = {name: [] for name in TYPES if any(name in part.values for part in parts)}
    for part in parts:
        segments, segment_indexes = _merged(segments, part.segments)
        labels, label_indexes = _merged(labels, part.labels)
        for name, columns in collected.items():
            column = part.values.get(name)
            if column is None:
                column = np.full(len(part), np.nan)
            elif name == "segment" and part.segments:
                column = segment_indexes[column]
            elif name in ("y", "prediction") and part.labels:
                known = ~np.isnan(column)
                column = column.copy()
                column[known] = label_indexes[column[known].astype(np.int64)]
            columns.append(column)
    values = {name: np.concatenate(columns).astype(TYPES[name]) for name, columns in collected.items()}
    return Columns(parts[0].first, values, segments, labels)


def _merged(names: list[str], more: list[str]) -> tuple[list[str], np.ndarray]:
    """Return all names, and the index of each of ``more`` among them."""
    indexes = {name: index for index, name in enumerate(names)}
    for name in more:
        indexes.setdefault(name, len(indexes))
    return list(indexes), np.array([indexes[name] for name in more], dtype=np.int64)


def rounded(values: np.ndarray) -> np.ndarray:
    """Return bands as they are stored: in four bytes, of which the last bits are zero."""
    with np.errstate(over="ignore"):
        bits = values.astype("<f4").view("<u4")
    half, kept = np.uint32(1 << (_DROPPED_BITS - 1)), np.uint32(2**32 - 2**_DROPPED_BITS)
    return ((bits + half) & kept).view("<f4")


def encode(columns: Columns) -> bytes:
    """Return a block as it is stored."""
    parts, sizes = [], {}
    for name, kind in TYPES.items():
        if name in columns.values:
            parts.append(_packed(columns.values[name].astype(kind)))
            sizes[name] = [kind, len(parts[-1])]
    header = {
        "version": VERSION,
        "rows": len(columns),
        "columns": sizes,
        "segments": columns.segments,
        "labels": columns.labels,
    }
    return b"\n".join((dumps_exact(header), b"".join(parts)))


def _packed(column: np.ndarray) -> bytes:
    """Return a column: a byte whose bits say which planes are stored as they are, these planes, and the others compressed."""
    planes = np.ascontiguousarray(column.view(np.uint8).reshape(len(column), column.itemsize).T)
    plain = [_entropy(plane) >= RANDOM for plane in planes]
    others = b"".join(plane.tobytes() for plane, is_plain in zip(planes, plain, strict=True) if not is_plain)
    mask = sum(1 << index for index, is_plain in enumerate(plain) if is_plain)
    raw = [plane.tobytes() for plane, is_plain in zip(planes, plain, strict=True) if is_plain]
    return b"".join((bytes((mask,)), *raw, zlib.compress(others, LEVEL_OF_ZLIB)))


def _entropy(plane: np.ndarray) -> float:
    """Return the entropy of a plane's bytes, in bits."""
    counts = np.bincount(plane, minlength=1)
    shares = counts[counts > 0] / max(1, len(plane))
    return float(-(shares * np.log2(shares)).sum())


def decode(first: int, stored: bytes | memoryview, wanted: Collection[str] | None = None) -> Columns:
    """Return the block that begins with observation ``first``.

    Parameters
    ----------
    first
        Number of its first observation.
    stored
        The result of :func:`encode`.
    wanted
        Names of the columns to read; None: all.

    Raises
    ------
    Unreadable
        If it is damaged, or of another version.
    """
    with _damage_found():
        told, packed = _parts(stored)
        values = {
            name: _unpacked(packed[name], kind, told["rows"])
            for name, (kind, _) in told["columns"].items()
            if wanted is None or name in wanted
        }
        return Columns(first, values, told["segments"], told["labels"])


def decode_segment(
    stored: bytes | memoryview, wanted: Collection[str], segment: str
) -> tuple[int, np.ndarray, Columns | None]:
    """Return what a block has of one segment. It costs less than to decode all of the block.

    Returns
    -------
    tuple
        The number of all observations of the block, the offsets of the segment's, and their columns without the segment; None
        if there is none. The columns are not consecutive observations: their ``first`` is 0.

    Raises
    ------
    Unreadable
        As :func:`decode`.
    """
    with _damage_found():
        told, packed = _parts(stored)
        rows, kinds = told["rows"], told["columns"]
        if segment not in told["segments"]:
            return rows, np.zeros(0, np.int64), None
        segments = _unpacked(packed["segment"], kinds["segment"][0], rows)
        own = np.flatnonzero(segments == told["segments"].index(segment))
        if not len(own):
            return rows, own, None
        values = {name: _unpacked(packed[name], kinds[name][0], rows, own) for name in kinds if name in wanted}
        return rows, own, Columns(0, values, [], told["labels"])


@contextmanager
def _damage_found() -> Iterator[None]:
    try:
        yield
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, zlib.error) as exc:
        raise Unreadable(f"it is damaged ({exc})") from exc


def _parts(stored: bytes | memoryview) -> tuple[dict[str, Any], dict[str, memoryview]]:
    """Return the header of a block, and its packed columns by name."""
    whole = bytes(stored)
    end = whole.index(b"\n")
    told, body = loads(whole[:end]), memoryview(whole)[end + 1 :]
    if told["version"] != VERSION:
        raise Unreadable(f"it is of version {told['version']}, and this server reads {VERSION}")
    packed, offset = {}, 0
    for name, (_, size) in told["columns"].items():
        packed[name] = body[offset : offset + size]
        offset += size
    return told, packed


def _unpacked(packed: memoryview, kind: str, rows: int, own: np.ndarray | None = None) -> np.ndarray:
    """Return a column, or the rows ``own`` of it."""
    dtype = np.dtype(kind)
    mask, size = packed[0], dtype.itemsize
    plain = [index for index in range(size) if mask >> index & 1]
    others = [index for index in range(size) if not mask >> index & 1]
    rest = np.frombuffer(zlib.decompress(packed[1 + rows * len(plain) :]), np.uint8).reshape(len(others), rows)
    raw = np.frombuffer(packed[1 : 1 + rows * len(plain)], np.uint8).reshape(len(plain), rows)
    if own is not None:
        raw, rest, rows = raw[:, own], rest[:, own], len(own)
    found = np.empty((rows, size), np.uint8)
    for planes, indexes in ((raw, plain), (rest, others)):
        for plane, index in zip(planes, indexes, strict=True):
            found[:, index] = plane
    return found.reshape(-1).view(dtype)
