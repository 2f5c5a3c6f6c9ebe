"""Folds the log into replicas, for catching up and rebuilding. Points for which an estimator fails are skipped."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from time import monotonic, thread_time
from typing import Any, NamedTuple

from django.conf import settings

from server.core.errors import TailraceError
from server.learning.budgets import call_marks, long_calls
from server.learning.fold import flavors
from server.learning.fold.estimator_errors import FATAL, BrokenReplica, DeadlineExceeded, reason
from server.learning.fold.replica import Replica, shifted
from server.learning.models import Model, Quarantine
from server.learning.pickles import loader
from server.streams import log, retention
from server.streams.log import Span
from server.streams.models import Retraction, Stream

CHUNK = 2048
"""Most points folded between two checks whether to continue."""
CHUNK_BYTES = 4 * 2**20
"""Characters of JSON from which on observations are not joined with more. Decoded, they take up to five times the memory."""
LARGE_STATE = 2**20
"""Bytes from which a state is read and written in a turn (:mod:`server.learning.budgets.long_calls`)."""


class Unstorable(TailraceError):
    """A model's state can't be written. The model must be stopped, since it can't be stored or restored.

    Parameters
    ----------
    replica
        The model's replica.
    why
        The error of writing it.
    """

    status = 409
    code = "not_storable"

    def __init__(self, replica: Replica, why: BaseException) -> None:
        self.model_id, self.at = replica.model_id, replica.n
        self.why = f"its state can't be stored ({reason(why)})"
        super().__init__(f"model {replica.name}, after observation {replica.n}: {self.why}")


class ChunkSizer:
    """Cuts points into chunks of about the same duration.

    Parameters
    ----------
    seconds
        After a chunk that takes less than this, the next is larger; after one that takes four times as long, smaller.
    """

    FIRST = 16

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.step = self.FIRST

    def chunks(self, size: int) -> Iterator[tuple[int, int]]:
        """Yield start and end offset of each chunk."""
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


def initial_replica(model: Model, segment: str | None) -> Replica:
    """Return a replica of the model in its initial state."""
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
        owner_id=model.owner_id,
    )


def trusted(flavor: str) -> tuple[str, ...]:
    """Return the modules whose classes models of this flavor may use besides river's."""
    modules: tuple[str, ...] = settings.TAILRACE.trusted if flavor == "custom" else ()
    return modules


def load(model_id: int, state: bytes, trusted_modules: Sequence[str]) -> Any:
    """Read a model's stored state or estimator, under the supervisor's watch."""
    with turn_for_state(len(state)), call_marks.mark_call(model_id, call_marks.LOAD):
        return loader.load_state(state, trusted_modules=trusted_modules)


def dump(replica: Replica) -> bytes:
    """Return a replica's state as it is stored, written under the supervisor's watch.

    Raises
    ------
    Unstorable
        If it can't be written, for example because it nests too deep.
    """
    with turn_for_state(replica.size), call_marks.mark_call(replica.model_id, call_marks.STORE, replica.n):
        try:
            state = loader.dump_state(replica.state())
            replica.size = len(state)
            return state
        except (*FATAL, MemoryError):
            raise
        except BaseException as exc:  # whatever an estimator may raise
            raise Unstorable(replica, exc) from exc


def turn_for_state(size: int) -> AbstractContextManager[Any]:
    """Return a context that makes threads read and write large states one at a time, since that keeps the interpreter."""
    return long_calls.turn() if size > LARGE_STATE else nullcontext()


class Exclusions(NamedTuple):
    """Observations that a model's fold skips: retracted ones, and those during a quarantine.

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
        """Return number to reason of the excluded observations from ``first`` to ``last``."""
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


def exclusions_of(model: Model) -> Exclusions:
    """Return the observations that this model's current fold skips."""
    rows = Retraction.objects.filter(stream_id=model.stream_id, pk__lte=model.retraction).values_list("seq", flat=True)
    ended = Quarantine.objects.filter(model=model).order_by("after").values_list("after", "upto")
    return Exclusions(frozenset(rows), tuple((after, upto) for after, upto in ended if upto is not None))


def fold_log(
    replica: Replica,
    model: Model,
    exclusions: Exclusions,
    upto: int,
    progress: Callable[[int], None] | None = None,
    seen: Callable[[Span, list[Any], dict[int, str]], None] | None = None,
    until: float = math.inf,
) -> None:
    """Fold the log into ``replica`` up to observation ``upto``.

    Parameters
    ----------
    replica, model, exclusions
        The replica, its model and the result of :func:`exclusions_of`.
    upto
        The last observation to learn.
    progress
        Called after every chunk with the number reached.
    seen
        Called with every chunk of the log, its predictions, and offset to reason of the skipped points.
    until
        Deadline, by :func:`time.monotonic`.

    Raises
    ------
    Gone
        If the log no longer has one of the observations.
    DeadlineExceeded
        If the deadline has passed. The replica must be dropped.
    """
    sizer = ChunkSizer(0.25)
    for span in merged_spans(complete_spans(model.stream_id, replica.n, upto), CHUNK):
        for low, high in sizer.chunks(len(span.xs)):
            part = log.cut(span, span.first + low - 1, span.first + high - 1) if high - low < len(span.xs) else span
            given, skip = logged_outcomes(part, model, exclusions)
            if monotonic() > until:
                raise DeadlineExceeded(0)
            predictions, skipped = advance(replica, part.first, part.xs, part.ys, given, skip, until=until)
            if seen is not None:
                seen(part, predictions, skipped)
            if progress is not None:
                progress(replica.n)


def logged_outcomes(span: Span, model: Model, exclusions: Exclusions) -> tuple[dict[int, Any], dict[int, str]]:
    """Return from the log, for a model's points: offset to a prediction that was made earlier, and offset to the reason to skip."""
    own = str(model.pk)
    given = {offset: note["given"][own] for offset, note in span.notes.items() if own in (note.get("given") or {})}
    skip = {
        offset: why for offset, why in span.skipped.get(model.pk, {}).items() if span.first + offset > model.live_since
    }
    for seq, why in exclusions.within(span.first, span.last).items():
        skip[seq - span.first] = why
    return given, skip


def complete_spans(stream_id: int, after: int, upto: int) -> Iterator[Span]:
    """Yield all observations after number ``after`` up to ``upto``.

    Raises
    ------
    Gone
        If the log no longer has one of them.
    """
    for span in log.spans(stream_id, after, upto):
        if span.first != after + 1 or None in span.xs:
            name, kept_after = Stream.objects.values_list("name", "whole_after").get(pk=stream_id)
            raise retention.gone(name, kept_after, f"nothing can be replayed from {after + 1} on")
        after = span.last
        yield span


def merged_spans(spans: Iterator[Span], size: int) -> Iterator[Span]:
    """Yield the same observations in spans of about ``size``, or fewer large ones, since folding many at once is fast."""
    waiting: list[Span] = []
    points = size_in_bytes = 0
    for span in spans:
        waiting.append(span)
        points += len(span.xs)
        size_in_bytes += span.size
        if points >= size or size_in_bytes >= CHUNK_BYTES:
            yield join_spans(waiting)
            waiting, points, size_in_bytes = [], 0, 0
    if waiting:
        yield join_spans(waiting)


def join_spans(parts: list[Span]) -> Span:
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
    return Span(first, parts[0].at, xs, ys, notes, predictions, skipped, sum(part.size for part in parts))


def advance(
    replica: Replica,
    first: int,
    xs: Sequence[dict[str, Any]],
    ys: Sequence[Any],
    given: dict[int, Any],
    skip: dict[int, str],
    check: Callable[[int], None] | None = None,
    until: float = math.inf,
) -> tuple[list[Any], dict[int, str]]:
    """As :meth:`Replica.advance`, but a point for which learning fails half-way is undone and skipped.

    The state is saved before each chunk of points. After a failure the chunks are small and grow again. ``check`` is called
    before each chunk with the number of points done, and may raise an error. ``until`` is the deadline, as there.
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
        used = thread_time()
        try:
            part, part_skipped = replica.advance(
                first + low, xs[low:high], ys[low:high],
                shifted(given, low, high), shifted(skip, low, high), call_marks.REPLAY, until,
            )  # fmt: skip
        except BrokenReplica as exc:
            snapshot_n = replica.snapshot_n
            replica.restore(n, load(replica.model_id, saved, trusted(replica.flavor.name)))
            replica.snapshot_n = snapshot_n
            skip[low + exc.offset] = exc.reason
            stretch = max(16, exc.offset + 1)
            continue
        if thread_time() - used > long_calls.LONG:
            replica.learning.doubt()
        predictions += part
        skipped.update({offset + low: why for offset, why in part_skipped.items()})
        low, stretch = high, stretch * 2
    return predictions, skipped
