"""Rehearsal of a retraction: a model learns the log again without suspect observations, and nothing is changed."""

import math
from collections.abc import Collection
from typing import Any

import numpy as np

from server.core.errors import Invalid
from server.learning.concurrency.time_limit import TimeLimit
from server.learning.fold import replay, snapshots
from server.learning.fold.estimator_errors import DeadlineExceeded
from server.learning.inspection import LOOKING_BACK
from server.learning.models import Model
from server.learning.records import reading
from server.learning.records.columns import joined
from server.streams import log
from server.streams.log import Span

MOST_SUSPECTS = 1000
MOST_SEARCHED = 20_000
"""Latest observations in which suspects are searched for by their source."""

BUCKETS = 200


def with_source(stream_id: int, head: int, name: str, value: str) -> list[int]:
    """Return the numbers of the latest observations whose ``source`` has this value, at most :data:`MOST_SUSPECTS` of them."""
    found: list[int] = []
    for span in log.spans(stream_id, max(0, head - MOST_SEARCHED), head):
        for offset, note in span.notes.items():
            source = note.get("source") or {}
            if name in source and str(source[name]) == value:
                found.append(span.first + offset)
    return sorted(found)[-MOST_SUSPECTS:]


def rehearse(model: Model, suspects: Collection[int], key: int | None = None) -> dict[str, Any]:
    """Fold the log without some observations, from the first of them on, for as long as one request may take.

    Parameters
    ----------
    model
        A regression model, with its stream loaded.
    suspects
        Numbers of the observations to leave out.
    key
        The caller, as for :func:`server.learning.inspection.with_replica`.

    Returns
    -------
    dict
        ``first``, ``upto``: the range that was folded; ``head``: the last observation of the stream; ``compared``:
        observations that both folds scored, without the suspects; ``with`` and ``without``: ``RMSE`` and ``MAE`` over these;
        ``curve``: ``n``, and the RMSE of each bucket, ``with`` and ``without``.

    Raises
    ------
    Invalid
        If there are no suspects, too many, or the model has not learned one of them.
    Gone
        If the log is no longer complete there.
    TooMany, Unavailable
        If too many requests replay the log.
    """
    if not suspects:
        raise Invalid("no observation is chosen: choose those that may be wrong", field="seq")
    if len(suspects) > MOST_SUSPECTS:
        raise Invalid(f"{len(suspects)} observations are chosen: at most {MOST_SUSPECTS} at once", field="seq")
    head = model.stream.head
    first = min(suspects)
    for seq in (first, max(suspects)):
        if not model.since < seq <= head:
            raise Invalid(
                f"observation {seq} was not learned by model {model.name}: expected {model.since + 1} to {head}",
                field="seq",
            )
    errors: dict[int, float] = {}

    def note(span: Span, predictions: list[Any], skipped: dict[int, str]) -> None:
        for offset, (y, prediction) in enumerate(zip(span.ys, predictions, strict=True)):
            if isinstance(prediction, (int, float)) and isinstance(y, (int, float)):
                errors[span.first + offset] = prediction - y

    exclusions = replay.exclusions_of(model)
    without = exclusions._replace(retracted=exclusions.retracted | set(suspects))
    with LOOKING_BACK.held(key):
        limit = TimeLimit()
        replica = snapshots.load(model, model.stream.segment, first - 1)
        try:
            replay.fold_log(replica, model, exclusions, first - 1, until=limit.until)
            replay.fold_log(replica, model, without, head, seen=note, until=limit.until)
        except DeadlineExceeded:
            pass  # what was folded until then is shown
    upto = max(errors, default=first - 1)
    return {"first": first, "upto": upto, "head": head, **_compared(model, first, upto, errors, suspects)}


def _compared(
    model: Model, first: int, upto: int, errors: dict[int, float], suspects: Collection[int]
) -> dict[str, Any]:
    low, high = reading.chosen(reading.extent(model), first, upto) if upto >= first else (first, first - 1)
    parts = list(reading.blocks(model, low, high, ("state", "y", "prediction"))) if low <= high else []
    nothing = {"RMSE": None, "MAE": None}
    found: dict[str, Any] = {"compared": 0, "with": nothing, "without": nothing, "curve": {"n": []}}
    if not parts:
        return found
    columns = joined(parts)
    numbers = np.arange(columns.first, columns.last + 1)
    before = columns.errors
    after = np.array([errors.get(seq, math.nan) for seq in numbers.tolist()])
    both = ~np.isnan(before) & ~np.isnan(after) & ~np.isin(numbers, list(suspects))
    if not both.any():
        return found
    numbers, before, after = numbers[both], before[both], after[both]
    edges = np.arange(0, len(numbers), max(1, -(-len(numbers) // BUCKETS)))
    counts = np.diff(np.append(edges, len(numbers)))
    found["compared"] = len(numbers)
    found["curve"] = {"n": numbers[np.append(edges[1:], len(numbers)) - 1].tolist()}
    for name, own in (("with", before), ("without", after)):
        found[name] = {"RMSE": float(np.sqrt((own**2).mean())), "MAE": float(np.abs(own).mean())}
        found["curve"][name] = np.sqrt(np.add.reduceat(own**2, edges) / counts).tolist()
    return found
