"""Folds a model's whole log anew with the arithmetic of this machine, and says how far that is from what was logged."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import F

from server.learning import replay, snapshots
from server.learning.models import Model, Snapshot
from server.learning.verification import last_learned
from server.streams.codec import text
from server.streams.locks import stream_transaction
from server.streams.log import Span
from server.streams.models import Stream


@dataclass
class Difference:
    """Between the predictions that a model's log has and those of a replay.

    Attributes
    ----------
    compared
        How many there were.
    differ
        How many were not the same bit for bit.
    largest
        The largest difference of numbers, in the target's unit; 0 where there is none.
    relative
        The largest one relative to the number logged.
    at
        The observation of the largest one; None where there is none.
    others
        How many differ in something else than a number: another label, or one where there was none.
    """

    compared: int = 0
    differ: int = 0
    largest: float = 0.0
    relative: float = 0.0
    at: int | None = None
    others: int = 0

    def add(self, seq: int, was: Any, now: Any) -> None:
        self.compared += 1
        if text(was) == text(now):
            return
        self.differ += 1
        pairs = list(_numbers(was, now))
        if not pairs:
            self.others += 1
        for old, new in pairs:
            apart = abs(new - old)
            if not apart <= self.largest:  # also where it is no number
                self.largest, self.at = apart, seq
            self.relative = max(self.relative, apart / abs(old) if old else math.inf if apart else 0.0)


def _numbers(was: Any, now: Any) -> list[tuple[float, float]]:
    """Each number that both have in the same place; empty where their forms differ."""
    if isinstance(was, dict) and isinstance(now, dict) and was.keys() == now.keys():
        parts = [_numbers(was[key], now[key]) for key in was]
        return [pair for part in parts for pair in part] if all(parts) else []
    plain = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in (was, now))
    return [(float(was), float(now))] if plain else []


def refold(model: Model, progress: Callable[[int], None] | None = None) -> Difference:
    """Fold the log anew, and let the model serve that. No server may use the database meanwhile.

    Parameters
    ----------
    model
        With its stream.
    progress
        Called with the number of the observation reached.

    Returns
    -------
    Difference
        Of the predictions that this model logged when it learned live.
    """
    found = Difference()
    stream = Stream.objects.get(pk=model.stream_id)
    kept_from = stream.whole_after if model.since < stream.whole_after else 0
    leaves_out = replay.left_out(model)
    first_retracted = leaves_out.first_retracted or stream.head + 1

    def compare(span: Span, predictions: list[Any]) -> None:
        logged = span.predictions.get(model.pk) or ()
        for offset, (was, now) in enumerate(zip(logged, predictions, strict=False)):
            seq = span.first + offset
            if was is not None and (seq > model.live_since or seq < first_retracted):
                found.add(seq, was, now)

    replica = snapshots.load(model, stream.segment, kept_from) if kept_from else replay.fresh(model, stream.segment)
    replay.feed(replica, model, leaves_out, last_learned(model, stream.head), progress=progress, seen=compare)
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
    """Have a model serve no more that can't be folded here."""
    with stream_transaction(model.stream_id, patient=True):
        Model.objects.filter(pk=model.pk).update(status=Model.FAILED, error=why)
        Stream.objects.filter(pk=model.stream_id).update(epoch=F("epoch") + 1)


def drop_snapshots(model: Model, kept_from: int) -> None:
    """Drop the snapshots that another arithmetic came to, but for the one that stands for what isn't kept of the log."""
    with transaction.atomic():
        Snapshot.objects.filter(model=model).exclude(seq=kept_from or -1).delete()
