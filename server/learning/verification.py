"""Verification of a model: a replay of its whole log, compared bit for bit with the log, the record and the served state."""

from collections.abc import Callable
from typing import Any

import numpy as np

from server.core.json_codec import dumps_text
from server.learning import quarantine
from server.learning.fold import replay, snapshots
from server.learning.fold.replica import Replica
from server.learning.models import Model
from server.learning.records import columns, reading
from server.learning.records.recorder import Recorder
from server.streams import integrity
from server.streams.log import Span
from server.streams.models import Stream


class Differs(Exception):
    """The replay differs from the log or the served state. The message is the first difference."""


def verify(model: Model, progress: Callable[[int], None] | None = None) -> dict[str, Any]:
    """Replay a model's whole log and compare every prediction that this fold logged, its record, and the metrics served now.

    The log itself is compared with the checksums of what was received (:mod:`server.streams.integrity`).

    Parameters
    ----------
    model
        The model, with its stream loaded.
    progress
        Called with the number of the observation reached.

    Returns
    -------
    dict
        ``observations``, ``predictions``, ``metrics``, ``rows`` (of the record): how many were compared. ``recorded``: the last
        observation in the record. ``after``: the observation of the snapshot that the replay began with, 0 for the initial state.

    Raises
    ------
    Differs
        At the first difference.
    Unreadable
        If the record is damaged. It is then made again in the background.
    """
    for finding in integrity.examine(model.stream, after=model.since):
        if finding.certain:
            raise Differs(f"observations {finding.first} to {finding.last}: {finding.why}")
    head, whole_after = Stream.objects.values_list("head", "whole_after").get(pk=model.stream_id)
    after = whole_after if model.since < whole_after else 0
    exclusions = replay.exclusions_of(model)
    first_retracted = exclusions.first_retracted or head + 1
    compared = 0

    def compare(span: Span, predictions: list[Any], skipped_now: dict[int, str]) -> None:
        nonlocal compared
        record.compare(span, predictions, skipped_now)
        logged = span.predictions.get(model.pk)
        if logged is None:
            return
        skipped = span.skipped.get(model.pk, {})
        for offset, (was, now) in enumerate(zip(logged, predictions, strict=False)):
            seq = span.first + offset
            own = seq > model.compared_after and (seq > model.live_since or seq < first_retracted)
            if not own or (was is None and offset not in skipped and seq <= model.live_since):
                continue
            if dumps_text(was) != dumps_text(now):
                raise Differs(
                    f"observation {seq}: the log has the prediction {dumps_text(was)}, the replay {dumps_text(now)}"
                )
            compared += 1

    upto = last_learned(model, head)
    segment = model.stream.segment
    replayed = snapshots.load(model, segment, after) if after else replay.initial_replica(model, segment)
    record = _RecordComparison(model, replayed)
    replay.fold_log(replayed, model, exclusions, upto, progress=progress, seen=compare)
    served = snapshots.load(model, model.stream.segment, upto)
    replay.fold_log(served, model, exclusions, upto)
    values = _compare_metrics(replayed, served)
    begun = max(model.since, after)
    return {
        "observations": upto - begun,
        "predictions": compared,
        "metrics": values,
        "rows": record.rows,
        "recorded": record.known.last,
        "after": after,
    }


class _RecordComparison:
    """Compares a model's record with what a replica computes while it is advanced, bit for bit as stored."""

    COLUMNS = ("state", "y", "prediction", *columns.BANDS)

    def __init__(self, model: Model, replica: Replica) -> None:
        self._model = model
        self._made = Recorder(model, replica.n, replica.learned > 0)
        self._made.watch(replica)
        self.known = reading.extent(model)
        self.rows = 0

    def compare(self, span: Span, predictions: list[Any], skipped: dict[int, str]) -> None:
        made = self._made.columns_of(span, np.zeros(len(span.xs)), predictions, skipped)
        low, high = max(made.first, self.known.first), min(made.last, self.known.last)
        for stored in reading.blocks(self._model, low, high, self.COLUMNS):
            self._compare_block(stored, made.part(stored.first, stored.last))
            self.rows += len(stored)

    def _compare_block(self, stored: columns.Columns, made: columns.Columns) -> None:
        for name in self.COLUMNS:
            was, now = stored.values.get(name), made.values.get(name)
            if was is None and now is None:
                continue
            empty = np.full(len(stored), np.nan)
            was, now = empty if was is None else was, empty if now is None else now
            if was.tobytes() == now.tobytes() and not stored.labels:
                continue
            shown, expected = _named(name, was, stored), _named(name, now, made)
            offset = next((place for place, one in enumerate(shown) if one != expected[place]), None)
            if offset is not None:
                raise Differs(
                    f"observation {stored.first + offset}: the record has the {name} {shown[offset]}, the replay {expected[offset]}. "
                    f"To have the record made again, run manage.py rebuild_record {self._model.name}"
                )


def _named(name: str, values: np.ndarray, block: columns.Columns) -> list[str]:
    """Return values in a form in which equal ones are those with the same bits: labels, or numbers without rounding."""
    if name in ("y", "prediction") and block.labels:
        return [dumps_text(None if value != value else block.labels[int(value)]) for value in values.tolist()]
    return [repr(value) for value in values.tolist()]


def last_learned(model: Model, head: int) -> int:
    """Return the last observation that the model can learn. In quarantine, that is the one before it was stopped."""
    quarantined = quarantine.current(model)
    if quarantined is None:
        return head
    stopped_at = quarantined.observation
    return quarantined.after if stopped_at is None else min(quarantined.after, stopped_at - 1)


def _compare_metrics(replayed: Replica, served: Replica) -> int:
    ours, theirs = _values(replayed), _values(served)
    for name in sorted(ours.keys() | theirs.keys()):
        if ours.get(name) != theirs.get(name):
            raise Differs(f"{name}: served is {theirs.get(name)}, the replay has {ours.get(name)}")
    return len(ours)


def _values(replica: Replica) -> dict[str, str]:
    values = {"learned": dumps_text(replica.learned), "skipped": dumps_text(replica.skipped)}
    scores = {"": replica.metrics, **{f"segment {name}, ": own for name, own in replica.segments.items()}}
    for prefix, own in scores.items():
        for name, value in {**own.values(), **{f"rolling {n}": v for n, v in own.rolling().items()}}.items():
            values[f"{prefix}{name}"] = float(value).hex()
    return values
