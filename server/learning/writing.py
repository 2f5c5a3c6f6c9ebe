"""The write path: points in, predicted, scored, learned and committed, in one order for everybody.

Requests that arrive while a commit is under way wait together, and whichever of them gets the lock next works for
all (flat combining), so that the cost of a commit is shared under load. On PostgreSQL streams commit side by side; on
SQLite, which has one writer anyway, all streams share one group.
"""

import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import perf_counter_ns
from typing import Any

from django.db import DatabaseError, InterfaceError, connection

from server.learning import replay
from server.learning.companions import Companion, check_keys_are_new, other_descriptor
from server.learning.replica import FATAL, Broken, Replica, reason
from server.learning.replicaset import SETS, ReplicaSet
from server.streams import instruments, locks, log, trips
from server.streams.errors import Conflict, Invalid, TailraceError
from server.streams.log import Point, Points
from server.streams.tracing import Step, Steps, Tracer, Tracing
from server.streams.validation import shown

MOST_POINTS_IN_GROUP = 5_000

_phase_seconds = {name: instruments.commit_seconds.of(name) for name in ("lock", "catch_up", "fold", "commit")}
_commit_requests, _commit_observations = instruments.commit_requests.of(), instruments.commit_observations.of()
_observations, _duplicates = instruments.observations.of(), instruments.duplicates.of()


@dataclass
class Receipt:
    """What became of a submission.

    Attributes
    ----------
    seqs
        The number of each point, in the order given.
    duplicates
        How many had been there before.
    predictions
        Model name to what it predicted for each point before learning it.
    errors
        Model name to {index: reason} for the points that it passed over.
    """

    seqs: Sequence[int] = ()
    duplicates: int = 0
    predictions: dict[str, list[Any]] = field(default_factory=dict)
    errors: dict[str, dict[int, str]] = field(default_factory=dict)
    old: dict[int, int] = field(default_factory=dict)
    """Index to number, for points whose predictions are to be read from the log."""


def _held() -> Any:
    lock = threading.Lock()
    lock.acquire()
    return lock


@dataclass
class Submission:
    """The points of one request, all or none of which are learned."""

    replicas: ReplicaSet
    points: Points
    descriptor: str | None = None
    companion: Companion | None = None
    receipt: Receipt | None = None
    error: Exception | None = None
    names: dict[int, str] = field(default_factory=dict)
    """The models at the time, by id."""
    steps: Steps | None = None
    """What the group's transaction was made of."""
    turn: Any = field(default_factory=_held)
    """Released when the submission is done, or its thread is to commit the next group."""

    @property
    def done(self) -> bool:
        return self.receipt is not None or self.error is not None


class Combiner:
    """Where submissions wait, and who of them commits next.

    The first to come commits. When it is through, it wakes the first that waits, who commits the next group at once, and
    only then those that it did the work for: so the next group is on its way to the disk while they answer.
    """

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._waiting: list[Submission] = []
        self._busy = False

    def submit(self, submission: Submission) -> None:
        """Return when the submission is done, by this thread or another."""
        with self._mutex:
            self._waiting.append(submission)
            leads = not self._busy
            self._busy = True
        if not leads:
            submission.turn.acquire()
            if submission.done:
                return
        group: list[Submission] = []
        try:
            with self._mutex:
                group = self._take()
            _commit(group)
        finally:
            with self._mutex:
                heir = self._waiting[0] if self._waiting else None
                self._busy = heir is not None
            if heir is not None:
                heir.turn.release()
            for other in group:
                if other is not submission:
                    other.turn.release()

    def _take(self) -> list[Submission]:
        points = count = 0
        for submission in self._waiting:
            if count and points + len(submission.points.xs) > MOST_POINTS_IN_GROUP:
                break
            points += len(submission.points.xs)
            count += 1
        taken, self._waiting[:count] = self._waiting[:count], []
        return taken


_everyone = Combiner()
_by_stream: dict[int, Combiner] = {}


def learn(
    stream_id: int,
    points: Points | Iterable[Point],
    *,
    descriptor: str | None = None,
    companion: Companion | None = None,
) -> Receipt:
    """Append points to a stream; every model predicts, is scored on and learns them. Returns when it is on disk.

    Parameters
    ----------
    stream_id
        The stream.
    points
        Checked points (:class:`server.streams.validation.Checker`); all or none are taken.
    descriptor
        The definition that their features are said to be made by.
    companion
        What is stored with them.

    Raises
    ------
    Invalid
        If every model refuses one of them; nothing is stored.
    Conflict
        If the stream's features are made by another definition, or the companion is refused; nothing is stored.
    NotFound
        If the stream is gone.
    Unavailable
        If the database can't be reached or can't store.
    """
    points = points if isinstance(points, Points) else Points.of(points)
    submission = Submission(SETS.of(stream_id), points, descriptor, companion)
    combiner = _everyone if locks.is_sqlite() else _by_stream.setdefault(stream_id, Combiner())
    began = perf_counter_ns()
    combiner.submit(submission)
    if Tracing.tracer is not None:
        _trace(Tracing.tracer, began, submission)
    if submission.error is not None:
        raise submission.error
    assert submission.receipt is not None
    if submission.receipt.old:
        _recall(submission.receipt, submission.names, stream_id)
    return submission.receipt


def _trace(tracer: Tracer, began: int, submission: Submission) -> None:
    steps = submission.steps
    made_of: list[Step] = [] if steps is None else [("wait", began, steps.began), *steps.all]
    tracer.note("learn", began, made_of, {"tailrace.observations": len(submission.points.xs)})


def _commit(group: list[Submission]) -> None:
    steps = Steps()
    for submission in group:
        submission.steps = steps
    by_stream: dict[int, list[Submission]] = {}
    for submission in group:
        by_stream.setdefault(submission.replicas.stream_id, []).append(submission)
    sets = [by_stream[stream_id][0].replicas for stream_id in sorted(by_stream)]
    for replicas in sets:
        replicas.lock.acquire()
    done: list[tuple[Submission, Receipt]] = []
    taken = 0
    try:
        with trips.transaction():
            turns = []
            for replicas in sets:
                turn = _Turn(replicas, by_stream[replicas.stream_id])
                try:
                    turn.begin(steps)
                except TailraceError as exc:
                    _refuse(turn.submissions, exc)
                else:
                    done += turn.take()
                    taken += len(turn.taken.xs)
                    turns.append(turn)
                    steps.end("fold")
            for turn in turns:
                turn.store(last=len(sets) == 1)
        steps.end("commit")
        for submission, receipt in done:
            submission.receipt = receipt
        _count(steps, done, len(group), taken)
    except BaseException as exc:
        for replicas in sets:
            replicas.drop()
        _refuse(group, exc if isinstance(exc, Exception) else RuntimeError(reason(exc)))
        if isinstance(exc, FATAL):
            raise
    finally:
        for replicas in sets:
            replicas.lock.release()


def _count(steps: Steps, done: list[tuple[Submission, Receipt]], requests: int, taken: int) -> None:
    """Count a group that was committed."""
    for phase, began, ended in steps.all:
        _phase_seconds[phase].observe((ended - began) / 1e9)
    _commit_requests.observe(requests)
    _commit_observations.observe(taken)
    _observations.add(taken)
    duplicates = sum(receipt.duplicates for _, receipt in done)
    if duplicates:
        _duplicates.add(duplicates)


def _refuse(submissions: list[Submission], exc: Exception) -> None:
    for submission in submissions:
        if submission.error is None:
            submission.error = exc


class _Turn:
    """One stream's part of one transaction."""

    def __init__(self, replicas: ReplicaSet, submissions: list[Submission]) -> None:
        self.replicas = replicas
        self.submissions = submissions
        self.kept: list[Companion] = []
        self.known: dict[str, int] = {}
        self.taken = Points([], [], {})
        self.predictions: dict[int, list[Any]] = {}
        self.skipped: dict[int, dict[int, str]] = {}
        self.head = 0

    def begin(self, steps: Steps) -> None:
        """Get the stream's lock, and the replicas to the head of its log. Nothing is changed yet."""
        notes = [note for submission in self.submissions for note in submission.points.notes.values()]
        onces = [once for note in notes if (once := note.once) is not None]
        self.head, epoch, self.known = log.look(self.replicas.stream_id, onces)
        steps.end("lock")
        self.replicas.follow(self.head, epoch)
        steps.end("catch_up")

    def take(self) -> list[tuple[Submission, Receipt]]:
        """Have every model predict and learn what is new, and companions keep what is theirs."""
        replicas = self.replicas
        names = {model.pk: model.name for model in replicas.models.values()}
        done = []
        for submission in self.submissions:
            submission.names = names
            try:
                if submission.descriptor != replicas.descriptor:
                    raise other_descriptor(replicas.descriptor, submission.descriptor)
                receipt = self._with(submission.companion, submission.points, self.known)
            except (Invalid, Conflict) as exc:
                submission.error = exc
                continue
            if submission.companion is not None and not receipt.old:
                submission.companion.keep(receipt.seqs)
                self.kept.append(submission.companion)
            done.append((submission, receipt))
        return done

    def store(self, *, last: bool) -> None:
        """Append what was taken; ``last``: nobody has anything to store after this."""
        if self.taken.xs:
            now = datetime.now(UTC)
            waiting = _waiting(self.taken, self.head)
            last = last and not (waiting or self.kept)
            log.append(self.replicas.stream_id, self.head, self.taken, now, self.predictions, self.skipped, last=last)
            if waiting:
                _resolve(waiting)
        for companion in self.kept:
            companion.tell()

    def _with(self, companion: Companion | None, points: Points, known: dict[str, int]) -> Receipt:
        if companion is not None:
            seqs = companion.known()
            if seqs is not None:
                return Receipt(seqs, len(seqs), old=dict(enumerate(seqs)))
            check_keys_are_new(points, known)
        return self._one(points, known)

    def _one(self, points: Points, known: dict[str, int]) -> Receipt:
        first = self.head + len(self.taken.xs) + 1
        size = len(points.xs)
        if not points.notes:
            receipt = Receipt(seqs=range(first, first + size))
            self._fold(first, points, range(size), receipt)
            return receipt
        receipt = Receipt()
        indexes: list[int] = []
        seqs: list[int] = []
        names: dict[str, int] = {}
        for index in range(size):
            note = points.notes.get(index)
            once = None if note is None else note.once
            seq = None if once is None else known.get(once) or names.get(once)
            if seq is None:
                seq = first + len(indexes)
                indexes.append(index)
                if once is not None:
                    names[once] = seq
            else:
                receipt.duplicates += 1
                receipt.old[index] = seq
            seqs.append(seq)
        receipt.seqs = seqs
        if indexes:
            self._fold(first, points if len(indexes) == size else points.chosen(indexes), indexes, receipt)
            known.update(names)
        return receipt

    def _fold(self, first: int, points: Points, indexes: Sequence[int], receipt: Receipt) -> None:
        size = len(receipt.seqs)
        replicas = list(self.replicas.replicas.values())
        if points.notes:
            _check_given(replicas, points)
        before = [(replica, replica.n, replica.learned, replica.skipped, replica.last_skip) for replica in replicas]
        outcomes: dict[int, tuple[list[Any], dict[int, str]]] = {}
        for replica in replicas:
            given = points.given(replica.model_id) if points.notes else {}
            outcomes[replica.model_id] = self._advance(replica, first, points.xs, points.ys, given)
        refusals = [skipped for _, skipped in outcomes.values() if skipped]
        if refusals and len(refusals) == len(outcomes):
            for offset in sorted(refusals[0]):
                if all(offset in skipped for skipped in refusals):
                    self._rewind(before)
                    raise self._refusal(indexes[offset], offset, size, outcomes)
        shift = len(self.taken.xs)
        whole = len(indexes) == size
        for replica in replicas:
            predictions, skipped = outcomes[replica.model_id]
            self.predictions.setdefault(replica.model_id, [None] * shift).extend(predictions)
            name = self.replicas.models[replica.model_id].name
            if whole:
                receipt.predictions[name] = predictions
            else:
                spread: list[Any] = [None] * size
                for index, prediction in zip(indexes, predictions, strict=True):
                    spread[index] = prediction
                receipt.predictions[name] = spread
            if skipped:
                own = self.skipped.setdefault(replica.model_id, {})
                own.update({shift + offset: why for offset, why in skipped.items()})
                receipt.errors[name] = {indexes[offset]: why for offset, why in skipped.items()}
        self.taken.extend(points)

    def _advance(
        self, replica: Replica, first: int, xs: list[dict[str, Any]], ys: list[Any], given: dict[int, Any]
    ) -> tuple[list[Any], dict[int, str]]:
        try:
            return replica.advance(first, xs, ys, given)
        except Broken:
            return replay.advance(self._renewed(replica.model_id), first, xs, ys, given, {})

    def _renewed(self, model_id: int) -> Replica:
        """The model as it was before the submission at hand: from what is committed, and this turn's points so far."""
        replica = self.replicas.rebuild(model_id, self.head)
        taken = self.taken
        if taken.xs:
            skip = self.skipped.get(model_id, {})
            replay.advance(replica, self.head + 1, taken.xs, taken.ys, taken.given(model_id), skip)
        return replica

    def _rewind(self, before: list[tuple[Replica, int, int, int, Any]]) -> None:
        for replica, n, learned, skipped, last_skip in before:
            current = self.replicas.replicas[replica.model_id]
            if current is replica and replica.learned == learned:
                # It refused every point before it changed: only the count of refusals is to be put back.
                replica.n, replica.skipped, replica.last_skip = n, skipped, last_skip
            else:
                self._renewed(replica.model_id)

    def _refusal(
        self, index: int, offset: int, size: int, outcomes: dict[int, tuple[list[Any], dict[int, str]]]
    ) -> Invalid:
        models = self.replicas.models
        reasons = "; ".join(f"{models[pk].name}: {skipped[offset]}" for pk, (_, skipped) in list(outcomes.items())[:5])
        where = "the point" if size == 1 else f"observations[{index}]"
        return Invalid(
            f"every model on the stream refuses {where}, so nothing was stored ({reasons})",
            field=None if size == 1 else f"observations[{index}]",
            code="refused",
        )


def _check_given(replicas: list[Replica], points: Points) -> None:
    """A prediction that the caller made must be of the kind that its model is scored on; our own always is."""
    for replica in replicas:
        if replica.flavor.name != "regression":
            continue
        for offset, prediction in points.given(replica.model_id).items():
            if points.notes[offset].identifier is None and not isinstance(prediction, (int, float)):
                raise Invalid(
                    f"prediction is {shown(prediction)}: expected a number, as {replica.name} is a regression model",
                    field="prediction",
                )


def _waiting(taken: Points, head: int) -> list[tuple[int, str]]:
    """The predictions that waited for these labels: which observation they became, and their identifiers."""
    return [(head + n + 1, note.identifier) for n, note in taken.notes.items() if note.identifier is not None]


def _resolve(waiting: list[tuple[int, str]]) -> None:
    with connection.cursor() as cursor:
        cursor.executemany("UPDATE learning_prediction SET seq = %s WHERE identifier = %s AND seq IS NULL", waiting)


def _recall(receipt: Receipt, names: dict[int, str], stream_id: int) -> None:
    """Answer for points that were there before as the first time: what was predicted then is in the log."""
    size = len(receipt.seqs)
    indexes: dict[int, list[int]] = {}
    for index, seq in receipt.old.items():
        indexes.setdefault(seq, []).append(index)
    try:
        for first, last in _stretches(sorted(indexes)):
            for span in log.spans(stream_id, first - 1, last):
                for offset in range(len(span.xs)):
                    for index in indexes.get(span.first + offset, ()):
                        _recall_one(receipt, index, size, names, span, offset)
    except (DatabaseError, InterfaceError) as exc:
        raise locks.give_up(exc) from exc


def _recall_one(receipt: Receipt, index: int, size: int, names: dict[int, str], span: log.Span, offset: int) -> None:
    for model_id, name in names.items():
        predictions = span.predictions.get(model_id)
        if predictions is not None:
            receipt.predictions.setdefault(name, [None] * size)[index] = predictions[offset]
        why = span.skipped.get(model_id, {}).get(offset)
        if why is not None:
            receipt.errors.setdefault(name, {})[index] = why


def _stretches(seqs: list[int]) -> Iterator[tuple[int, int]]:
    """First and last of runs of numbers, each read at once: no two neighbours in one are further than a batch apart."""
    first = last = seqs[0]
    for seq in seqs[1:]:
        if seq - last > log.BATCH_POINTS:
            yield first, last
            first = seq
        last = seq
    yield first, last
