"""Proof that a model is what its log says: a replay from the first observation, compared bit for bit."""

from collections.abc import Callable
from typing import Any

from server.learning import quarantine, replay, snapshots
from server.learning.models import Model
from server.learning.replica import Replica
from server.streams import integrity
from server.streams.codec import text
from server.streams.log import Span
from server.streams.models import Stream


class Differs(Exception):
    """The replay came to something else than the log or the served state; the message is the first difference."""


def verify(model: Model, progress: Callable[[int], None] | None = None) -> dict[str, Any]:
    """Replay a model's whole log and compare every prediction that this fold logged, and the metrics served now.

    The log itself is compared with the checksums of what was received (:mod:`server.streams.integrity`).

    Parameters
    ----------
    model
        With its stream.
    progress
        Called with the number of the observation reached.

    Returns
    -------
    dict
        ``{"observations", "predictions", "metrics"}``: how much was compared; ``after``: the observation whose snapshot it
        began with, 0 for the initial state.

    Raises
    ------
    Differs
        At the first difference.
    """
    for finding in integrity.examine(model.stream, after=model.since):
        if finding.certain:
            raise Differs(f"observations {finding.first} to {finding.last}: {finding.why}")
    head, whole_after = Stream.objects.values_list("head", "whole_after").get(pk=model.stream_id)
    after = whole_after if model.since < whole_after else 0
    leaves_out = replay.left_out(model)
    first_retracted = leaves_out.first_retracted or head + 1
    compared = 0

    def compare(span: Span, predictions: list[Any]) -> None:
        nonlocal compared
        logged = span.predictions.get(model.pk)
        if logged is None:
            return
        skipped = span.skipped.get(model.pk, {})
        for offset, (was, now) in enumerate(zip(logged, predictions, strict=False)):
            seq = span.first + offset
            own = seq > model.compared_after and (seq > model.live_since or seq < first_retracted)
            if not own or (was is None and offset not in skipped and seq <= model.live_since):
                continue
            if text(was) != text(now):
                raise Differs(f"observation {seq}: the log has the prediction {text(was)}, the replay {text(now)}")
            compared += 1

    upto = last_learned(model, head)
    segment = model.stream.segment
    replayed = snapshots.load(model, segment, after) if after else replay.fresh(model, segment)
    replay.feed(replayed, model, leaves_out, upto, progress=progress, seen=compare)
    served = snapshots.load(model, model.stream.segment, upto)
    replay.feed(served, model, leaves_out, upto)
    values = _compare_metrics(replayed, served)
    begun = max(model.since, after)
    return {"observations": upto - begun, "predictions": compared, "metrics": values, "after": after}


def last_learned(model: Model, head: int) -> int:
    """The last observation that the model can be asked to learn: not the one that it was stopped at."""
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
    values = {"learned": text(replica.learned), "skipped": text(replica.skipped)}
    scores = {"": replica.scores, **{f"segment {name}, ": own for name, own in replica.segments.items()}}
    for prefix, own in scores.items():
        for name, value in {**own.values(), **{f"rolling {n}": v for n, v in own.rolling().items()}}.items():
            values[f"{prefix}{name}"] = float(value).hex()
    return values
