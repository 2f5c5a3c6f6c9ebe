"""Folding the log into replicas: catching up, rebuilding, and passing over the points that an estimator refuses."""

from collections.abc import Callable, Iterator, Sequence
from time import monotonic
from typing import Any, NamedTuple

from django.conf import settings

from server.learning import call_marks, flavors, pickles
from server.learning.models import Model, Quarantine
from server.learning.replica import FATAL, Broken, Replica, reason
from server.streams import log, retention
from server.streams.errors import TailraceError
from server.streams.log import Span
from server.streams.models import Retraction, Stream

CHUNK = 2048
"""Most points folded between two looks at whether to go on."""


class Unstorable(TailraceError):
    """A model's state can't be written, so that it can be neither kept nor built anew: it is to be stopped.

    Parameters
    ----------
    replica
        The model as it is.
    why
        What came of writing it.
    """

    status = 409
    code = "not_storable"

    def __init__(self, replica: Replica, why: BaseException) -> None:
        self.model_id, self.at = replica.model_id, replica.n
        self.why = f"its state can't be stored ({reason(why)})"
        super().__init__(f"model {replica.name}, after observation {replica.n}: {self.why}")


class Pace:
    """Cuts points into stretches that take about as long, whatever a point takes.

    Parameters
    ----------
    seconds
        A stretch that takes less than this is followed by a larger one; after four times as long, by a smaller one.
    """

    FIRST = 16

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.step = self.FIRST

    def stretches(self, size: int) -> Iterator[tuple[int, int]]:
        """First offset of each stretch, and of the next one."""
        low = 0
        while low < size:
            high = min(size, low + self.step)
            began = monotonic()
            yield low, high
            seconds = monotonic() - began
            if seconds < self.seconds:
                self.step = min(CHUNK, 4 * self.step)
            elif seconds > 4 * self.seconds:
                self.step = max(1, self.step // 4)
            low = high


def fresh(model: Model, segment: str | None) -> Replica:
    """The model in its initial state."""
    config = settings.TAILRACE
    return Replica(
        model.pk,
        model.name,
        model.generation,
        flavors.get(model.flavor),
        load(model.pk, bytes(model.initial), trusted(model.flavor)),
        n=model.since,
        window=model.window,
        segment=segment,
        most_segments=config.max_segments,
    )


def trusted(flavor: str) -> tuple[str, ...]:
    """Modules whose classes models of this flavor may use besides river's."""
    modules: tuple[str, ...] = settings.TAILRACE.trusted if flavor == "custom" else ()
    return modules


def load(model_id: int, state: bytes, trusted_modules: Sequence[str]) -> Any:
    """A model's stored state or estimator, read where the supervisor sees it."""
    with call_marks.inside(model_id, call_marks.LOAD):
        return pickles.load_state(state, trusted_modules=trusted_modules)


def dump(replica: Replica) -> bytes:
    """A replica's state as it is stored, written where the supervisor sees it.

    Raises
    ------
    Unstorable
        If it can't be written: as it nests too deep, say.
    """
    with call_marks.inside(replica.model_id, call_marks.STORE, replica.n):
        try:
            return pickles.dump_state(replica.state())
        except (*FATAL, MemoryError):
            raise
        except BaseException as exc:  # whatever an estimator may raise
            raise Unstorable(replica, exc) from exc


class LeftOut(NamedTuple):
    """The observations that a fold skips, whatever its estimator would do with them.

    Attributes
    ----------
    retracted
        Numbers of retracted observations.
    quarantined
        ``(after, upto)``: the model was in quarantine from observation ``after + 1`` to ``upto``.
    """

    retracted: frozenset[int]
    quarantined: tuple[tuple[int, int], ...] = ()

    @property
    def first_retracted(self) -> int | None:
        return min(self.retracted, default=None)

    def within(self, first: int, last: int) -> dict[int, str]:
        """Number to reason, of those from ``first`` to ``last``."""
        found = {
            seq: "quarantined"
            for after, upto in self.quarantined
            for seq in range(max(first, after + 1), min(last, upto) + 1)
        }
        if len(self.retracted) > last - first:
            found.update({seq: "retracted" for seq in range(first, last + 1) if seq in self.retracted})
        else:
            found.update({seq: "retracted" for seq in self.retracted if first <= seq <= last})
        return found


def left_out(model: Model) -> LeftOut:
    """The observations that this model's present fold skips."""
    rows = Retraction.objects.filter(stream_id=model.stream_id, pk__lte=model.retraction).values_list("seq", flat=True)
    ended = Quarantine.objects.filter(model=model).order_by("after").values_list("after", "upto")
    return LeftOut(frozenset(rows), tuple((after, upto) for after, upto in ended if upto is not None))


def feed(
    replica: Replica,
    model: Model,
    leaves_out: LeftOut,
    upto: int,
    progress: Callable[[int], None] | None = None,
    seen: Callable[[Span, list[Any]], None] | None = None,
) -> None:
    """Fold the log into ``replica`` up to observation ``upto``.

    Parameters
    ----------
    replica, model, leaves_out
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
    pace = Pace(0.25)
    for span in merged(whole(model.stream_id, replica.n, upto), CHUNK):
        for low, high in pace.stretches(len(span.xs)):
            part = log.cut(span, span.first + low - 1, span.first + high - 1) if high - low < len(span.xs) else span
            given, skip = known(part, model, leaves_out)
            predictions, _ = advance(replica, part.first, part.xs, part.ys, given, skip)
            if seen is not None:
                seen(part, predictions)
            if progress is not None:
                progress(replica.n)


def known(span: Span, model: Model, leaves_out: LeftOut) -> tuple[dict[int, Any], dict[int, str]]:
    """What the log knows of a model's points: offset to a prediction given earlier, and offset to why it skips the point."""
    own = str(model.pk)
    given = {offset: note["given"][own] for offset, note in span.notes.items() if own in (note.get("given") or {})}
    skip = {
        offset: why for offset, why in span.skipped.get(model.pk, {}).items() if span.first + offset > model.live_since
    }
    for seq, why in leaves_out.within(span.first, span.last).items():
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
    check: Callable[[int], None] | None = None,
) -> tuple[list[Any], dict[int, str]]:
    """As :meth:`Replica.advance`, but a point on which learning fails half-way is undone and skipped.

    The state is kept aside before each stretch of points; after a failure the stretches are short and grow again. ``check``, which
    may raise, is told before each how many points are done.
    """
    predictions: list[Any] = []
    skipped: dict[int, str] = {}
    skip = dict(skip)
    low, stretch = 0, len(xs)
    while low < len(xs):
        if check is not None:
            check(low)
        high = min(len(xs), low + stretch)
        n, saved = replica.n, dump(replica)
        try:
            part, part_skipped = replica.advance(
                first + low, xs[low:high], ys[low:high],
                shifted(given, low, high), shifted(skip, low, high), call_marks.REPLAY,
            )  # fmt: skip
        except Broken as exc:
            snapshot_n = replica.snapshot_n
            replica.restore(n, load(replica.model_id, saved, trusted(replica.flavor.name)))
            replica.snapshot_n = snapshot_n
            skip[low + exc.offset] = exc.reason
            stretch = max(16, exc.offset + 1)
            continue
        predictions += part
        skipped.update({offset + low: why for offset, why in part_skipped.items()})
        low, stretch = high, stretch * 2
    return predictions, skipped


def shifted(by_offset: dict[int, Any], low: int, high: int) -> dict[int, Any]:
    """What belongs to the points from offset ``low`` up to ``high``, by their offset from ``low``."""
    if not by_offset:
        return by_offset
    return {offset - low: value for offset, value in by_offset.items() if low <= offset < high}
