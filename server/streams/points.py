"""Points on their way into the log: their values, their notes, and the pieces of JSON that they are stored as."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple
from zlib import crc32

from server.core.json_codec import dumps_exact

BATCH_POINTS = 500
"""Largest number of points in one row. Storing one row per observation costs ten times as much to write."""

BATCH_BYTES = 2**20
"""Most bytes of features in one row, unless it has a single point. Who reads a log holds one decoded row at least."""

STORED = ("key", "source", "identifier", "given")
"""Fields of a note that are stored in the log."""


class Note(NamedTuple):
    """Values that only some points have."""

    key: str | None = None
    source: dict[str, Any] | None = None
    identifier: str | None = None
    given: dict[int, Any] | None = None
    """Earlier predictions by model ID, on which these models are scored."""
    of_model: int | None = None
    """ID of the model among whose predictions the identifier is unique; None: it is unique in the stream."""

    @property
    def unique_key(self) -> str | None:
        """The key of the point that is unique in its stream: its own key, or the identifier of its prediction."""
        if self.identifier is not None:
            if self.of_model is None:
                return f"i:{self.identifier}"
            return (
                f"m:{self.of_model}:{hashlib.sha256(self.identifier.encode()).hexdigest()}"  # as long as a key may be
            )
        return None if self.key is None else f"k:{self.key}"

    def stored(self) -> dict[str, Any]:
        """Return the values that are set, by their stored names."""
        return {name: value for name in STORED if (value := getattr(self, name)) is not None and value != {}}


class Point(NamedTuple):
    """One labeled point to append to a log."""

    x: dict[str, Any]
    y: Any
    note: Note | None = None


class Points(NamedTuple):
    """Labeled points to append to a log, in columns. ``notes`` maps the offset of a point to its note."""

    xs: list[dict[str, Any]]
    ys: list[Any]
    notes: dict[int, Note]

    @classmethod
    def of(cls, points: Iterable[Point]) -> "Points":
        points = list(points)
        notes = {n: point.note for n, point in enumerate(points) if point.note is not None}
        return cls([point.x for point in points], [point.y for point in points], notes)

    def given(self, model_id: int) -> dict[int, Any]:
        """Return the earlier predictions of this model, by offset."""
        return {n: note.given[model_id] for n, note in self.notes.items() if note.given and model_id in note.given}

    def chosen(self, indexes: list[int]) -> "Points":
        """Return the points at these indexes."""
        notes = {n: self.notes[index] for n, index in enumerate(indexes) if index in self.notes}
        return Points([self.xs[n] for n in indexes], [self.ys[n] for n in indexes], notes)

    def extend(self, more: "Points") -> None:
        shift = len(self.xs)
        self.xs.extend(more.xs)
        self.ys.extend(more.ys)
        self.notes.update({shift + n: note for n, note in more.notes.items()})


class Piece(NamedTuple):
    """Consecutive points in stored form: JSON lists of their features and of their targets, of length ``size``.

    They are encoded before a model gets the points, so that no model can change what is stored.
    """

    size: int
    xs: bytes
    ys: bytes


def encoded(xs: Sequence[dict[str, Any]], ys: Sequence[Any]) -> list[Piece]:
    """Encode points, in pieces of at most :data:`BATCH_POINTS` and, unless a point is larger, :data:`BATCH_BYTES`.

    Raises
    ------
    TypeError
        If a value has no JSON form.
    """
    size = len(xs)
    if size <= BATCH_POINTS:
        return _pieces(xs, ys)
    lows = range(0, size, BATCH_POINTS)
    return [piece for low in lows for piece in _pieces(xs[low : low + BATCH_POINTS], ys[low : low + BATCH_POINTS])]


def _pieces(xs: Sequence[dict[str, Any]], ys: Sequence[Any]) -> list[Piece]:
    """Encode the points of at most one row, in several pieces if they are large."""
    whole = dumps_exact(xs)
    if len(whole) <= BATCH_BYTES:
        return [Piece(len(xs), whole, dumps_exact(ys))]
    del whole
    each = [dumps_exact([x]) for x in xs]
    found = []
    low = size = 0
    for high, one in enumerate(each):
        if size and size + len(one) > BATCH_BYTES:
            found.append(Piece(high - low, _one_list(each[low:high]), dumps_exact(ys[low:high])))
            low, size = high, 0
        size += len(one)
    return [*found, Piece(len(each) - low, _one_list(each[low:]), dumps_exact(ys[low:]))]


def checksum(xs: bytes, ys: bytes) -> int:
    """Return the CRC-32 of a batch's features and targets, as they were received."""
    return crc32(ys, crc32(xs))


def joined(pieces: Sequence[Piece]) -> Iterator[Piece]:
    """Join the points into as few pieces as possible."""
    waiting: list[Piece] = []
    count = size = 0
    for piece in pieces:
        if waiting and (count + piece.size > BATCH_POINTS or size + len(piece.xs) > BATCH_BYTES):
            yield _join(waiting, count)
            waiting, count, size = [], 0, 0
        waiting.append(piece)
        count += piece.size
        size += len(piece.xs)
    if waiting:
        yield _join(waiting, count)


def _join(pieces: list[Piece], count: int) -> Piece:
    if len(pieces) == 1:
        return pieces[0]
    return Piece(count, _one_list(piece.xs for piece in pieces), _one_list(piece.ys for piece in pieces))


def _one_list(lists: Iterable[bytes]) -> bytes:
    return b"[" + b",".join([one[1:-1] for one in lists]) + b"]"
