"""Folds a model's whole log again with this machine's arithmetic, and compares the predictions with the logged ones."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import F

from server.core.db.locks import stream_transaction
from server.core.json_codec import dumps_text
from server.learning.fold import replay, snapshots
from server.learning.models import Model, Snapshot
from server.learning.verification import last_learned
from server.streams.log import Span
from server.streams.models import Stream


@dataclass
class Difference:
    """Differences between a model's logged predictions and those of a replay.

    Attributes
    ----------
    compared
        Number of predictions compared.
    differ
        Number of predictions that are not equal bit for bit.
    largest
        Largest difference of numbers, in the target's unit; 0 if there is none.
    relative
        Largest difference relative to the logged number.
    at
        Observation of the largest difference; None if there is none.
    others
        Number of predictions that differ otherwise, such as by another label.
    """

    compared: int = 0
    differ: int = 0
    largest: float = 0.0
    relative: float = 0.0
    at: int | None = None
    others: int = 0

    def add(self, seq: int, was: Any, now: Any) -> None:
        self.compared += 1
        if dumps_text(was) == dumps_text(now):
            return
        self.differ += 1
        pairs = list(_numbers(was, now))
        if not pairs:
            self.others += 1
        for old, new in pairs:
            apart = abs(new - old)
            if not apart <= self.largest:  # also for NaN
                self.largest, self.at = apart, seq
            self.relative = max(self.relative, apart / abs(old) if old else math.inf if apart else 0.0)


def _numbers(was: Any, now: Any) -> list[tuple[float, float]]:
    """Return pairs of the numbers at the same place in both predictions; empty if their forms differ."""
    if isinstance(was, dict) and isinstance(now, dict) and was.keys() == now.keys():
        parts = [_numbers(was[key], now[key]) for key in was]
        return [pair for part in parts for pair in part] if all(parts) else []
    plain = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in (was, now))
    return [(float(was), float(now))] if plain else []


def refold(model: Model, progress: Callable[[int], None] | None = None) -> Difference:
    """Fold the log again, and let the model serve the result. No server may use the database meanwhile.

    Parameters
    ----------
    model
        The model, with its stream loaded.
    progress
        Called with the number of the observation reached.

    Returns
    -------
    Difference
        Differences from the predictions that this model logged when it learned live.
    """
    found = Difference()
    stream = Stream.objects.get(pk=model.stream_id)
    kept_from = stream.whole_after if model.since < stream.whole_after else 0
    exclusions = replay.exclusions_of(model)
    first_retracted = exclusions.first_retracted or stream.head + 1

    def compare(span: Span, predictions: list[Any], skipped: dict[int, str]) -> None:
        logged = span.predictions.get(model.pk) or ()
        for offset, (was, now) in enumerate(zip(logged, predictions, strict=False)):
            seq = span.first + offset
            if was is not None and (seq > model.live_since or seq < first_retracted):
                found.add(seq, was, now)

    replica = (
        snapshots.load(model, stream.segment, kept_from) if kept_from else replay.initial_replica(model, stream.segment)
    )
    replay.fold_log(replica, model, exclusions, last_learned(model, stream.head), progress=progress, seen=compare)
    state = replay.dump(replica)
    with stream_transaction(stream.pk, patient=True):
        drop_snapshots(model, kept_from)
        generation = model.generation + 1
        Snapshot.objects.filter(model=model).update(generation=generation)
        Model.objects.filter(pk=model.pk).update(generation=generation, compared_after=stream.head)
        snapshots.add(model.pk, generation, replica.n, state)
        Stream.objects.filter(pk=stream.pk).update(epoch=F("epoch") + 1)
    return found


def give_up(model: Model, why: str) -> None:
    """Mark a model as failed that can't be folded here."""
    with stream_transaction(model.stream_id, patient=True):
        Model.objects.filter(pk=model.pk).update(status=Model.FAILED, error=why)
        Stream.objects.filter(pk=model.stream_id).update(epoch=F("epoch") + 1)


def drop_snapshots(model: Model, kept_from: int) -> None:
    """Delete the snapshots of another arithmetic, except the permanent one that replaces a deleted part of the log."""
    with transaction.atomic():
        Snapshot.objects.filter(model=model).exclude(seq=kept_from or -1).delete()
