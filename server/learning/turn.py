"""One stream's part of one commit: its replicas predict and learn the points of several requests."""

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import monotonic
from typing import Any

from django.db import connection

from server.learning import quarantine, replay
from server.learning.combining import PAGE, held
from server.learning.companions import Companion, check_keys_are_new, other_descriptor
from server.learning.receipts import Receipt
from server.learning.refusals import blames_the_point
from server.learning.replay import Pace
from server.learning.replica import Broken, Late, Replica
from server.learning.replicaset import ReplicaSet
from server.learning.scores import RegressionScores
from server.learning.time_limit import Busy, TimeLimit, TooSlow
from server.streams import instruments, log
from server.streams.codec import exact
from server.streams.errors import Conflict, Forbidden, Invalid, TailraceError, TooLarge
from server.streams.log import Piece, Points
from server.streams.models import FeatureName
from server.streams.tracing import Steps
from server.streams.validation import shown

LONGEST = 1.0
"""Seconds after which a turn takes no further request's points: the next turn does."""

MOST_PREDICTED = 16 * 2**20
"""Bytes of JSON that the predictions of all models for the points of one request may take."""

QUICK = 0.05
"""Seconds, about, that a model folds between two looks at the time."""

_phase_seconds = {name: instruments.commit_seconds.of(name) for name in ("lock", "catch_up", "fold", "commit")}
_duplicates = instruments.duplicates.of()


class Again(Exception):
    """The turn has to be begun anew, without what ended it."""


class TooMuch(TooLarge):
    """The predictions for the points of one request take too much room."""


@dataclass(eq=False)
class Submission:
    """The points of one request, all or none of which are learned."""

    replicas: ReplicaSet
    points: Points
    pieces: list[Piece]
    """The same points as they are stored."""
    descriptor: str | None = None
    companion: Companion | None = None
    receipt: Receipt | None = None
    error: Exception | None = None
    names: dict[int, str] = field(default_factory=dict)
    """The models at the time, by id."""
    steps: Steps | None = None
    """What its turn was made of."""
    turn: Any = field(default_factory=held)
    withdrawn: bool = False
    """Whether its thread no longer waits."""
    _begun: bool = False
    _claim: Any = field(default_factory=threading.Lock)
    """Taken by whoever is first: the turn that begins with it, or its thread, which withdraws it."""

    @property
    def done(self) -> bool:
        return self.receipt is not None or self.error is not None

    def begin(self) -> bool:
        """Whether it is to be learned; it can't be withdrawn from now on."""
        if not self._begun:
            self._begun = self._claim.acquire(blocking=False)
        return self._begun

    def withdraw(self) -> bool:
        self.withdrawn = not self._begun and self._claim.acquire(blocking=False)
        return self.withdrawn

    @property
    def size(self) -> int:
        return _size(len(self.points.xs), self.pieces)


def _size(points: int, pieces: Sequence[Piece]) -> int:
    """As :attr:`server.learning.combining.Item.size`."""
    return max(points, sum(len(piece.xs) for piece in pieces) // PAGE)


def _order(submission: Submission) -> int:
    return 0 if submission.companion is None else submission.companion.order


class Turn:
    """What becomes of a group of submissions to one stream. The caller holds the stream's lock and its replica set's."""

    def __init__(self, replicas: ReplicaSet, submissions: list[Submission]) -> None:
        self.replicas = replicas
        self.has_companions = any(submission.companion is not None for submission in submissions)
        self.submissions = sorted(submissions, key=_order) if self.has_companions else submissions
        self.left: list[Submission] = []
        """Those that this turn has no time for."""
        self.receipts: list[tuple[Submission, Receipt]] = []
        self.kept: list[tuple[Submission, Companion]] = []
        self.known: dict[str, int] = {}
        self.taken = Points([], [], {})
        self.pieces: list[Piece] = []
        self.names: set[str] = set()
        """Of features that the stream sees for the first time."""
        self.predictions: dict[int, list[Any]] = {}
        self.skipped: dict[int, dict[int, str]] = {}
        self.head = 0
        self.predicted = 0
        """Bytes of JSON that predictions which aren't numbers take."""
        self.steps = Steps()
        # As an item of a group of commits:
        self.turn = held()
        self.withdrawn = False
        self.done = False
        self.error: BaseException | None = None

    @property
    def size(self) -> int:
        return _size(len(self.taken.xs), self.pieces)

    @property
    def observations(self) -> int:
        """How many it has taken."""
        return len(self.taken.xs)

    @property
    def requests(self) -> int:
        """How many requests learn with it."""
        return len(self.submissions) - len(self.left)

    def committed(self) -> None:
        """Count what it was made of: it is stored."""
        self.steps.end("commit")
        for phase, began, ended in self.steps.all:
            _phase_seconds[phase].observe((ended - began) / 1e9)
        duplicates = sum(receipt.duplicates for _, receipt in self.receipts)
        if duplicates:
            _duplicates.add(duplicates)

    def withdraw(self) -> bool:
        """It is committed whoever waits for it."""
        return False

    def begin(self) -> None:
        """Look at the stream's log, and get the replicas to its head. Nothing is changed yet.

        Raises
        ------
        Again
            If one of its models is to be quarantined first.
        """
        for submission in self.submissions:
            submission.steps = self.steps
        notes = [note for submission in self.submissions for note in submission.points.notes.values()]
        onces = [once for note in notes if (once := note.once) is not None]
        self.head, epoch, self.known = log.look(self.replicas.stream_id, onces)
        self.steps.end("lock")
        if quarantine.awaits(self.replicas.models):
            raise Again
        self.replicas.follow(self.head, epoch)
        self.steps.end("catch_up")

    def take(self) -> None:
        """Have every model predict and learn what is new.

        Raises
        ------
        Again
            If a request's points took so long that it was refused.
        """
        replicas = self.replicas
        names = {model.pk: model.name for model in replicas.models.values()}
        began = monotonic()
        for index, submission in enumerate(self.submissions):
            late = monotonic() - began > LONGEST or self.predicted > MOST_PREDICTED
            if index and not self.has_companions and late:
                self.left = self.submissions[index:]
                break
            if submission.error is None and submission.begin():
                submission.names = names
                self._take(submission)
        self.steps.end("fold")

    def _take(self, submission: Submission) -> None:
        companion = submission.companion
        try:
            if submission.descriptor != self.replicas.descriptor:
                raise other_descriptor(self.replicas.descriptor, submission.descriptor)
            receipt = None
            if companion is not None:
                seqs = companion.known()
                if seqs is None:
                    check_keys_are_new(submission.points, self.known)
                else:
                    receipt = Receipt(seqs, len(seqs), old=dict(enumerate(seqs)))
            if receipt is None:
                receipt = self._learn(submission)
        except (TooMuch, TooSlow, Busy) as exc:
            submission.error = exc
            raise Again from exc
        except (Invalid, Conflict, Forbidden, TooLarge) as exc:
            submission.error = exc
            return
        if companion is not None and not receipt.old:
            self.kept.append((submission, companion))
            companion.take(receipt.seqs)
        self.receipts.append((submission, receipt))

    @property
    def changes(self) -> bool:
        """Whether there is anything to store."""
        return bool(self.taken.xs or self.kept)

    def store(self, *, last: bool) -> None:
        """Append what was taken; ``last``: nobody has anything to store after this. It may be repeated after a rollback.

        Raises
        ------
        Again
            If a companion is refused.
        """
        if self.taken.xs:
            waiting = [
                (self.head + n + 1, note.identifier, next(iter(note.given)))
                for n, note in self.taken.notes.items()
                if note.identifier is not None and note.given
            ]
            last = last and not (waiting or self.kept or self.names)
            log.append(
                self.replicas.stream_id, self.head, self.pieces, self.taken.notes, datetime.now(UTC),
                self.predictions, self.skipped, last=last,
            )  # fmt: skip
            if waiting:
                _resolve(waiting)
            if self.names:
                names = [FeatureName(stream_id=self.replicas.stream_id, name=name) for name in sorted(self.names)]
                FeatureName.objects.bulk_create(names, ignore_conflicts=True)
        for submission, companion in self.kept:
            try:
                companion.keep()
            except (Conflict, Forbidden) as exc:
                submission.error = exc
                raise Again from exc
            companion.tell()

    def answer(self) -> None:
        """Give each submission its receipt: all is stored."""
        if self.taken.xs and self.replicas.familiarity is not None:
            self.replicas.familiarity.note(self.head + 1, self.taken.xs)
        for submission, receipt in self.receipts:
            submission.receipt = receipt

    def refuse(self, exc: Exception) -> None:
        """Refuse those that have no answer yet."""
        for submission in self.submissions:
            if not submission.done:
                submission.error = exc

    def _learn(self, submission: Submission) -> Receipt:
        points, pieces, known = submission.points, submission.pieces, self.known
        first = self.head + len(self.taken.xs) + 1
        size = len(points.xs)
        if not points.notes:
            receipt = Receipt(seqs=range(first, first + size))
            self._fold(first, points, pieces, range(size), receipt)
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
            if len(indexes) < size:
                points = points.chosen(indexes)
                pieces = log.encoded(points.xs, points.ys)
            self._fold(first, points, pieces, indexes, receipt)
            known.update(names)
        return receipt

    def _fold(self, first: int, points: Points, pieces: list[Piece], indexes: Sequence[int], receipt: Receipt) -> None:
        size = len(receipt.seqs)
        replicas = list(self.replicas.replicas.values())
        if points.notes:
            _check_given(replicas, points)
        names = self.replicas.new_names(points.xs)
        before = [(replica, replica.n, replica.learned, replica.skipped, replica.last_skip) for replica in replicas]
        outcomes: dict[int, tuple[list[Any], dict[int, str]]] = {}
        limit = TimeLimit()
        predicted = self.predicted
        for replica in replicas:
            given = points.given(replica.model_id) if points.notes else {}
            outcomes[replica.model_id] = self._advance(replica, first, points, given, limit)
        if self.predicted - predicted > MOST_PREDICTED:
            raise _too_much_predicted(len(points.xs), self.predicted - predicted)
        refusals = [skipped for _, skipped in outcomes.values() if skipped]
        if refusals and len(refusals) == len(outcomes):
            for offset in sorted(refusals[0]):
                if all(blames_the_point(skipped.get(offset, "")) for skipped in refusals):
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
        self.pieces += pieces
        self.names |= names
        self.replicas.names |= names

    def _advance(
        self, replica: Replica, first: int, points: Points, given: dict[int, Any], limit: TimeLimit
    ) -> tuple[list[Any], dict[int, str]]:
        """Have a replica fold the points, some at a time.

        Raises
        ------
        TooSlow, Busy
            If they take more time than one request's points may.
        TooMuch
            If the predictions take too much room.
        """
        xs, ys = points.xs, points.ys
        low = 0
        try:
            if len(xs) <= Pace.FIRST:
                found = replica.advance(first, xs, ys, given, until=math.inf if len(xs) == 1 else limit.until)
                self._weigh(replica, found[0])
                return found
            predictions: list[Any] = []
            skipped: dict[int, str] = {}
            for low, high in Pace(QUICK).stretches(len(xs)):
                some, some_skipped = replica.advance(
                    first + low, xs[low:high], ys[low:high], replay.shifted(given, low, high), until=limit.until
                )
                predictions += some
                self._weigh(replica, some)
                if self.predicted > 2 * MOST_PREDICTED:
                    raise _too_much_predicted(len(xs), self.predicted)
                skipped.update({low + offset: why for offset, why in some_skipped.items()})
            return predictions, skipped
        except Late as exc:
            raise _too_slow(replica, low + exc.done, len(xs), limit) from exc
        except Broken:
            renewed = self._renewed(replica.model_id)

            def check(done: int) -> None:
                if limit.is_over:
                    raise _too_slow(renewed, done, len(xs), limit)

            return replay.advance(renewed, first, xs, ys, given, {}, check)

    def _weigh(self, replica: Replica, predictions: list[Any]) -> None:
        """Count what predictions take that aren't numbers."""
        if not isinstance(replica.scores, RegressionScores):
            self.predicted += len(exact(predictions))

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
        refused = f"every model on the stream refuses {where}, so nothing was stored"
        found = Invalid(f"{refused} ({reasons})", field=None if size == 1 else f"observations[{index}]", code="refused")
        found.for_anyone = f"{refused}; whoever may read the models is told why"
        return found


def _too_much_predicted(points: int, size: int) -> TooMuch:
    return TooMuch(
        f"the models' predictions for {points} observations take {size // 2**20} MB and more, and the most allowed is "
        f"{MOST_PREDICTED // 2**20} MB, so nothing was stored: send fewer in one request"
    )


def _too_slow(replica: Replica, done: int, size: int, limit: TimeLimit) -> TailraceError:
    return limit.error(
        replica.name,
        f"{size} observations at once",
        f", so nothing was stored: send at most {max(1, done // 2)} in one request",
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


def _resolve(waiting: list[tuple[int, str, int]]) -> None:
    """Note which observations the labels of these predictions became: observation, identifier and model of each."""
    with connection.cursor() as cursor:
        cursor.executemany(
            "UPDATE learning_prediction SET seq = %s WHERE identifier = %s AND model_id = %s AND seq IS NULL", waiting
        )
