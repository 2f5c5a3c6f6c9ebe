"""Reading records: any range at any resolution, rows of a range, and what is over all rows of a column."""

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from django.db.models import Max, Min

from server.core.errors import Invalid
from server.core.json_codec import loads
from server.learning.models import Model, Record, RecordBlock
from server.learning.records import columns as stored
from server.learning.records import storing, summaries
from server.learning.records.columns import Columns, Unreadable
from server.learning.records.summaries import GRANULE, SERIES, STATISTICS

MOST_BUCKETS = 10_000
MOST_WIDENED = 8
"""How much wider than asked for the buckets of a segment may be, so that they are read from summaries."""

AT_ONCE, OF_SEGMENT_AT_ONCE, SUMMARIES_AT_ONCE = 16, 64, 256
"""Blocks read at once, blocks of which only a segment is decoded, and summaries of blocks. They take a few megabytes."""

NEEDED = ("at", "state", "y", "prediction", "lower", "upper")
"""Columns that summaries are made of."""


@dataclass(frozen=True)
class Extent:
    """The observations that a model's record has, and the stream's head.

    Attributes
    ----------
    first, last
        Numbers of the first and the last recorded observation; ``last`` is less than ``first`` if there is none.
    head
        The last observation of the stream.
    """

    first: int
    last: int
    head: int

    @property
    def behind(self) -> int:
        """How many observations are not recorded yet."""
        return max(0, self.head - self.last)


def extent(model: Model) -> Extent:
    """Return what is recorded of a model, which is given with its stream."""
    record = Record.objects.filter(model=model).first()
    first = max(model.since, model.stream.whole_after) + 1
    upto = first - 1 if record is None else max(first - 1, storing.same_upto(model, record))
    return Extent(first, upto, model.stream.head)


def chosen(known: Extent, first: int | None, last: int | None) -> tuple[int, int]:
    """Return a range of observations, within what is recorded.

    Raises
    ------
    Invalid
        If it isn't ascending, or a number is below 1.
    """
    for name, value in (("first", first), ("last", last)):
        if value is not None and value < 1:
            raise Invalid(f"{name} is {value}: expected the number of an observation, at least 1", field=name)
    if first is not None and last is not None and last < first:
        raise Invalid(f"first is {first} and last is {last}: expected first to be at most last", field="first")
    return max(known.first, first or 1), min(known.last, last or known.last)


def series(
    model: Model,
    first: int | None = None,
    last: int | None = None,
    buckets: int = 500,
    segment: str | None = None,
    width: int | None = None,
) -> dict[str, Any]:
    """Return a model's record in at most ``buckets`` buckets (one more where the range doesn't begin at a summary's edge).

    Parameters
    ----------
    model
        The model, with its stream loaded.
    first, last
        Range of observations; None: from the first that is recorded, and to the last.
    buckets
        Most buckets, 1 to :data:`MOST_BUCKETS`.
    segment
        Only observations of this segment.
    width
        Least observations that a bucket stands for, so that a part of a range has the same buckets as the whole.

    Returns
    -------
    dict
        ``first``, ``last``: the range; ``behind``: observations that are not recorded yet; ``per_bucket``: observations
        that a bucket stands for; and lists with a value for each bucket: ``n`` (its last observation), ``count``,
        ``scored``, ``skipped``, ``at`` (seconds since 1970), ``MAE``, ``RMSE``, ``covered`` (share within the interval),
        and ``y``, ``prediction``, ``error``, ``lower`` and ``upper``, each with ``min``, ``max``, ``mean`` and ``last``.

    Raises
    ------
    Invalid
        If the range or the number of buckets is none.
    """
    if not 1 <= buckets <= MOST_BUCKETS:
        raise Invalid(f"buckets is {buckets}: expected 1 to {MOST_BUCKETS}", field="buckets")
    known = extent(model)
    low, high = chosen(known, first, last)
    size = max(0, high - low + 1)
    width = max(1, width or 1, -(-size // buckets))
    if size == 0:
        rows, ns = np.zeros(0, summaries.ROW), np.zeros(0, np.int64)
    elif segment is not None:
        granule = _segment_granule(model, low, high)
        if granule and granule <= MOST_WIDENED * width:
            width = -(-width // granule) * granule
            rows, ns = _of_segments(model, low, high, width, granule, segment)
        else:
            rows, ns = _of_columns(model, low, high, width, segment)
    elif width <= GRANULE // 2:
        rows, ns = _of_columns(model, low, high, width, None)
    else:
        width = -(-width // GRANULE) * GRANULE
        rows, ns = _of_summaries(model, low, high, width)
    return {
        "model": model.name,
        "first": low,
        "last": high,
        "head": known.head,
        "behind": known.behind,
        "per_bucket": width,
        **_described(rows, ns),
    }


def _described(rows: np.ndarray, ns: np.ndarray) -> dict[str, Any]:
    with np.errstate(invalid="ignore", divide="ignore"):
        scored = rows["scored"].astype(float)
        found: dict[str, Any] = {
            "n": ns.tolist(),
            "count": rows["count"].tolist(),
            "scored": rows["scored"].tolist(),
            "skipped": rows["skipped"].tolist(),
            "at": rows["at"].tolist(),
            "MAE": listed(rows["absolute"] / scored),
            "RMSE": listed(np.sqrt(rows["square"] / scored)),
            "covered": listed(rows["covered"] / rows["banded"].astype(float)),
        }
    for name in SERIES:
        found[name] = {statistic: listed(rows[f"{name}_{statistic}"]) for statistic in STATISTICS}
    return found


def listed(values: np.ndarray) -> list[float | None]:
    """Return numbers as a list, with None for what isn't finite."""
    return [value if math.isfinite(value) else None for value in values.tolist()]


def _of_columns(model: Model, low: int, high: int, width: int, segment: str | None) -> tuple[np.ndarray, np.ndarray]:
    """Buckets of ``width`` numbers each, from ``low`` on. Those without an observation of the segment are left out."""
    parts, ids, ns = [], [], []
    found = _whole_blocks(model, low, high) if segment is None else _segment_blocks(model, low, high, segment)
    for some in _grouped(found):
        block = stored.joined([columns for columns, _ in some])
        numbers = np.concatenate([own for _, own in some])
        bucket = (numbers - low) // width
        edges = np.flatnonzero(np.diff(bucket, prepend=-1))
        parts.append(summaries.of_columns(block, edges))
        ids.append(bucket[edges])
        ns.append(numbers[np.append(edges[1:], len(numbers)) - 1])
    return _merged(parts, ids, ns)


def _segment_granule(model: Model, low: int, high: int) -> int:
    """Return the observations that each summary of a segment stands for in a range; 0 if some blocks have none."""
    numbers = (storing.number_of(low), storing.number_of(high))
    found = RecordBlock.objects.filter(model=model, number__range=numbers).aggregate(
        least=Min("segment_granule"), most=Max("segment_granule")
    )
    return int(found["most"] or 0) if found["least"] else 0


def _of_segments(
    model: Model, low: int, high: int, width: int, granule: int, segment: str
) -> tuple[np.ndarray, np.ndarray]:
    """Buckets of a segment's observations whose ends are multiples of ``width``. Those without any are left out."""
    parts, ns = [], []
    for row in _rows(model, low, high, "segments", "segment_granule", "by_segment"):
        names = loads(row.segments)
        if segment not in names:
            continue
        try:
            rows = storing.by_segment_of(row)
        except Unreadable as exc:
            raise _unreadable(model, row.number, exc.message) from exc
        rows = rows[rows["segment"] == names.index(segment)]
        offset = rows["offset"].astype(np.int64)
        last = row.first + offset
        inside = (last >= low) & (row.first + offset // row.segment_granule * row.segment_granule <= high)
        parts.append(rows["summary"][inside])
        ns.append(last[inside])
    return _merged(parts, [(last - 1) // width for last in ns], ns)


Numbered = tuple[Columns, np.ndarray]
"""Columns, and the numbers of their observations."""


def _whole_blocks(model: Model, low: int, high: int) -> Iterator[Numbered]:
    for block in blocks(model, low, high, NEEDED):
        yield block, np.arange(block.first, block.last + 1)


def _segment_blocks(model: Model, low: int, high: int, segment: str) -> Iterator[Numbered]:
    """Yield a segment's observations ``low`` to ``high``, of each block that has any."""
    for row in _rows(model, low, high, "columns", at_once=OF_SEGMENT_AT_ONCE):
        try:
            rows, own, block = stored.decode_segment(row.columns, NEEDED, segment)
            _check_size(row, rows)
        except Unreadable as exc:
            raise _unreadable(model, row.number, exc.message) from exc
        if block is None:
            continue
        numbers = row.first + own
        if not low <= numbers[0] or not numbers[-1] <= high:
            inside = (low <= numbers) & (numbers <= high)
            numbers = numbers[inside]
            block.values = {name: column[inside] for name, column in block.values.items()}
        if len(numbers):
            yield block, numbers


def _check_size(row: RecordBlock, size: int) -> None:
    if size != row.count:
        raise Unreadable(f"it has {size} observations, not {row.count}")


def _grouped(found: Iterator[Numbered]) -> Iterator[list[Numbered]]:
    """Yield several blocks at a time."""
    while some := list(islice(found, AT_ONCE)):
        yield some


def _merged(parts: list[np.ndarray], ids: list[np.ndarray], ns: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return one summary for each bucket, from summaries of parts of buckets, and each bucket's last observation."""
    if not parts:
        return np.zeros(0, summaries.ROW), np.zeros(0, np.int64)
    rows = np.frombuffer(b"".join(part.tobytes() for part in parts), summaries.ROW)
    bucket, last = np.concatenate(ids), np.concatenate(ns)
    edges = np.flatnonzero(np.diff(bucket, prepend=-1))
    return summaries.of_summaries(rows, edges), last[np.append(edges[1:], len(last)) - 1]


def _of_summaries(model: Model, low: int, high: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Buckets whose ends are multiples of ``width``, so that a longer range has the same ones."""
    parts, ns = [], []
    for row in _rows(model, low, high, "summary"):
        try:
            rows = storing.summary_of(row)
        except Unreadable as exc:
            raise _unreadable(model, row.number, exc.message) from exc
        last = row.first - 1 + np.minimum(np.arange(1, len(rows) + 1) * GRANULE, row.count)
        inside = (last >= low) & (last - GRANULE < high)
        parts.append(rows[inside])
        ns.append(last[inside])
    return _merged(parts, [(last - 1) // width for last in ns], ns)


def _rows(model: Model, low: int, high: int, *fields: str, at_once: int = SUMMARIES_AT_ONCE) -> Iterator[RecordBlock]:
    """Yield the stored blocks that have the observations ``low`` to ``high``.

    Raises
    ------
    Unreadable
        If one is missing.
    """
    rows = (
        RecordBlock.objects.filter(model=model).order_by("number").only("model_id", "number", "first", "count", *fields)
    )
    after, end = low - 1, storing.number_of(high)
    # Complete queries, since a slow client may take hours between two blocks.
    for number in range(storing.number_of(low), end + 1, at_once):
        for row in list(rows.filter(number__range=(number, min(end, number + at_once - 1)))):
            if row.first > after + 1:
                raise _unreadable(model, storing.number_of(after + 1), "it is missing")
            yield row
            after = row.first + row.count - 1
    if after < high:
        raise _unreadable(model, storing.number_of(after + 1), "it is missing")


def _unreadable(model: Model, number: int, why: str) -> Unreadable:
    """Have a block made again, and return the error that says so."""
    storing.mend(model, number)
    first, last = number * storing.BLOCK + 1, (number + 1) * storing.BLOCK
    return Unreadable(
        f"the record of model {model.name} can't be read at observations {first} to {last}: {why}. The server makes it again "
        "in the background: ask again in a minute",
        retry_after=60,
    )


def blocks(model: Model, low: int, high: int, wanted: Collection[str] | None = None) -> Iterator[Columns]:
    """Yield what is recorded of the observations ``low`` to ``high``, block by block.

    Parameters
    ----------
    model
        The model.
    low, high
        Range of observations.
    wanted
        Names of the columns to read, with ``state``; None: all.

    Raises
    ------
    Unreadable
        If a block is missing or damaged. The background work makes it again.
    """
    if high < low:
        return
    for row in _rows(model, low, high, "columns", at_once=AT_ONCE):
        try:
            block = stored.decode(row.first, row.columns, wanted)
            _check_size(row, len(block))
        except Unreadable as exc:
            raise _unreadable(model, row.number, exc.message) from exc
        part = block.part(low, high)
        if len(part):
            yield part


def rows(block: Columns) -> Iterator[dict[str, Any]]:
    """Yield a block's observations as exports have them: numbers, text and None."""
    values = block.values
    names = block.labels
    listed_columns = {name: listed(values[name].astype(float)) for name in stored.BANDS if name in values}
    ys, predictions = listed(values["y"]), listed(values["prediction"])
    for offset in range(len(block)):
        y, prediction = ys[offset], predictions[offset]
        found: dict[str, Any] = {
            "n": block.first + offset,
            "at": float(values["at"][offset]),
            "y": names[int(y)] if names and y is not None else y,
            "prediction": names[int(prediction)] if names and prediction is not None else prediction,
            "scored": bool(values["state"][offset] == stored.SCORED),
            "skipped": bool(values["state"][offset] == stored.SKIPPED),
        }
        if block.segments:
            found["segment"] = block.segments[int(values["segment"][offset])]
        found.update((name, column[offset]) for name, column in listed_columns.items())
        yield found
