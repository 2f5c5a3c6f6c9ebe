"""Folding the log into replicas: catching up, rebuilding, and passing over the points that an estimator refuses."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from django.conf import settings

from server.learning import flavors, pickles
from server.learning.models import Model
from server.learning.replica import Broken, Replica
from server.streams import log, retention
from server.streams.log import Span
from server.streams.models import Retraction, Stream

CHUNK = 2048
"""Points folded between two looks at whether to go on."""


def fresh(model: Model, segment: str | None) -> Replica:
    """The model in its initial state."""
    config = settings.TAILRACE
    trusted = config.trusted if model.flavor == "custom" else ()
    return Replica(
        model.pk,
        model.name,
        model.generation,
        flavors.get(model.flavor),
        pickles.load_state(bytes(model.initial), trusted_modules=trusted),
        n=model.since,
        window=model.window,
        segment=segment,
        most_segments=config.max_segments,
    )


def left_out(model: Model) -> dict[int, str]:
    """The observations that this fold passes over because they were retracted."""
    rows = Retraction.objects.filter(stream_id=model.stream_id, pk__lte=model.retraction).values_list("seq", flat=True)
    return dict.fromkeys(rows, "retracted")


def feed(
    replica: Replica,
    model: Model,
    retracted: dict[int, str],
    upto: int,
    progress: Callable[[int], None] | None = None,
    seen: Callable[[Span, list[Any]], None] | None = None,
) -> None:
    """Fold the log into ``replica`` up to observation ``upto``.

    Parameters
    ----------
    replica, model, retracted
        The replica, its model and what :func:`left_out` gave.
    upto
        The last observation to learn.
    progress
        Called with the number reached after every chunk.
    seen
        Called with every chunk of the log and what was predicted for it.

    Raises
    ------
    Gone
        If an observation on the way isn't kept any more.
    """
    for span in merged(whole(model.stream_id, replica.n, upto), CHUNK):
        given, skip = known(span, model, retracted)
        predictions, _ = advance(replica, span.first, span.xs, span.ys, given, skip)
        if seen is not None:
            seen(span, predictions)
        if progress is not None:
            progress(replica.n)


def known(span: Span, model: Model, retracted: dict[int, str]) -> tuple[dict[int, Any], dict[int, str]]:
    """Offset to prediction and offset to reason: what the log knows of this model's own points: predictions given earlier, and points to pass over."""
    own = str(model.pk)
    given = {offset: note["given"][own] for offset, note in span.notes.items() if own in (note.get("given") or {})}
    skip = {
        offset: why for offset, why in span.skipped.get(model.pk, {}).items() if span.first + offset > model.live_since
    }
    for seq, why in retracted.items():
        if span.first <= seq <= span.last:
            skip[seq - span.first] = why
    return given, skip


def whole(stream_id: int, after: int, upto: int) -> Iterator[Span]:
    """The observations after number ``after`` up to ``upto``, every one of them.

    Raises
    ------
    Gone
        Where one isn't kept any more.
    """
    for span in log.spans(stream_id, after, upto):
        if span.first != after + 1 or None in span.xs:
            name, kept_after = Stream.objects.values_list("name", "whole_after").get(pk=stream_id)
            raise retention.gone(name, kept_after, f"nothing can be replayed from {after + 1} on")
        after = span.last
        yield span


def merged(spans: Iterator[Span], size: int) -> Iterator[Span]:
    """The same observations in spans of about ``size``: folding many at once is what makes it quick."""
    waiting: list[Span] = []
    points = 0
    for span in spans:
        waiting.append(span)
        points += len(span.xs)
        if points >= size:
            yield join(waiting)
            waiting, points = [], 0
    if waiting:
        yield join(waiting)


def join(parts: list[Span]) -> Span:
    if len(parts) == 1:
        return parts[0]
    first = parts[0].first
    xs: list[dict[str, Any]] = []
    ys: list[Any] = []
    notes: dict[int, dict[str, Any]] = {}
    predictions: dict[int, list[Any]] = {}
    skipped: dict[int, dict[int, str]] = {}
    for part in parts:
        shift = part.first - first
        xs += part.xs
        ys += part.ys
        for model_id, values in part.predictions.items():
            own_values = predictions.setdefault(model_id, [])
            own_values += [None] * (shift - len(own_values)) + values
        for offset, note in part.notes.items():
            notes[offset + shift] = note
        for model_id, by_offset in part.skipped.items():
            own = skipped.setdefault(model_id, {})
            own.update({offset + shift: why for offset, why in by_offset.items()})
    return Span(first, parts[0].at, xs, ys, notes, predictions, skipped)


def advance(
    replica: Replica,
    first: int,
    xs: Sequence[dict[str, Any]],
    ys: Sequence[Any],
    given: dict[int, Any],
    skip: dict[int, str],
) -> tuple[list[Any], dict[int, str]]:
    """As :meth:`Replica.advance`, but a point on which learning fails half-way is undone and passed over.

    The state is kept aside before each stretch of points; after a failure the stretches are short and grow again.
    """
    predictions: list[Any] = []
    skipped: dict[int, str] = {}
    skip = dict(skip)
    low, stretch = 0, len(xs)
    while low < len(xs):
        high = min(len(xs), low + stretch)
        n, saved = replica.n, pickles.dump_state(replica.state())
        try:
            part, part_skipped = replica.advance(
                first + low, xs[low:high], ys[low:high], _shifted(given, low, high), _shifted(skip, low, high)
            )
        except Broken as exc:
            trusted = settings.TAILRACE.trusted if replica.flavor.name == "custom" else ()
            snapshot_n = replica.snapshot_n
            replica.restore(n, pickles.load_state(saved, trusted_modules=trusted))
            replica.snapshot_n = snapshot_n
            skip[low + exc.offset] = exc.reason
            stretch = max(16, exc.offset + 1)
            continue
        predictions += part
        skipped.update({offset + low: why for offset, why in part_skipped.items()})
        low, stretch = high, stretch * 2
    return predictions, skipped


def _shifted(by_offset: dict[int, Any], low: int, high: int) -> dict[int, Any]:
    if not by_offset:
        return by_offset
    return {offset - low: value for offset, value in by_offset.items() if low <= offset < high}
