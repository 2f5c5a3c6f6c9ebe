"""The learn transaction: the replicas of one stream predict and learn the points of several requests, and they are stored."""

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import monotonic
from typing import Any

from django.db import connection

from server.core.errors import Conflict, Forbidden, Invalid, TailraceError, TooLarge
from server.core.json_codec import dumps_exact
from server.core.metrics import declarations
from server.core.tracing import Steps
from server.core.validation import format_value
from server.learning import quarantine
from server.learning.concurrency.combiner import BYTES_PER_POINT, held_lock
from server.learning.concurrency.time_limit import Busy, TimeLimit, TooSlow
from server.learning.fold import replay
from server.learning.fold.estimator_errors import BrokenReplica, DeadlineExceeded
from server.learning.fold.replay import ChunkSizer
from server.learning.fold.replica import Replica, shifted
from server.learning.fold.replica_set import ReplicaSet
from server.learning.metrics.prequential import RegressionMetrics
from server.learning.write_path.attachments import Attachment, check_keys_are_new, descriptor_conflict
from server.learning.write_path.receipts import Receipt
from server.learning.write_path.refusals import is_fault_of_point
from server.streams import log
from server.streams.models import FeatureName
from server.streams.points import Piece, Points, encoded

MAX_TRANSACTION_SECONDS = 1.0
"""After so many seconds, a transaction takes no further request; the next transaction does."""

MAX_PREDICTIONS_BYTES = 16 * 2**20
"""Most bytes of JSON for the predictions of all models for the points of one request."""

CHUNK_SECONDS = 0.05
"""Approximate seconds that a model folds between two checks of the time."""

_phase_seconds = {name: declarations.commit_seconds.labels(name) for name in ("lock", "catch_up", "fold", "commit")}
_duplicates = declarations.duplicates.labels()


class Retry(Exception):
    """The transaction must be started again, without the submission or the model that ended it."""


class PredictionsTooLarge(TooLarge):
    """The predictions for the points of one request are too large."""


@dataclass(eq=False)
class Submission:
    """The points of one request. Either all or none are learned."""

    replicas: ReplicaSet
    points: Points
    pieces: list[Piece]
    """The same points as they are stored."""
    descriptor: str | None = None
    attachment: Attachment | None = None
    receipt: Receipt | None = None
    error: Exception | None = None
    names: dict[int, str] = field(default_factory=dict)
    """Model names by id, at the time of learning."""
    steps: Steps | None = None
    """Durations of the steps of its transaction."""
    wakeup: Any = field(default_factory=held_lock)
    cancelled: bool = False
    """Whether its thread has stopped waiting for it."""
    _begun: bool = False
    _claim: Any = field(default_factory=threading.Lock)
    """Acquired once: by the transaction that begins with it, or by its thread to cancel it."""

    @property
    def done(self) -> bool:
        return self.receipt is not None or self.error is not None

    def begin(self) -> bool:
        """Begin with it, so that it can't be cancelled any more. Return whether it is to be learned."""
        if not self._begun:
            self._begun = self._claim.acquire(blocking=False)
        return self._begun

    def cancel(self) -> bool:
        self.cancelled = not self._begun and self._claim.acquire(blocking=False)
        return self.cancelled

    @property
    def size(self) -> int:
        return _size(len(self.points.xs), self.pieces)


def _size(points: int, pieces: Sequence[Piece]) -> int:
    """As :attr:`server.learning.concurrency.combiner.Item.size`."""
    return max(points, sum(len(piece.xs) for piece in pieces) // BYTES_PER_POINT)


def _order(submission: Submission) -> int:
    return 0 if submission.attachment is None else submission.attachment.order


class LearnTransaction:
    """Learns and stores a group of submissions to one stream. The caller holds the locks of the stream and of its replica set."""

    def __init__(self, replicas: ReplicaSet, submissions: list[Submission]) -> None:
        self.replicas = replicas
        self.has_attachments = any(submission.attachment is not None for submission in submissions)
        self.submissions = sorted(submissions, key=_order) if self.has_attachments else submissions
        self.deferred: list[Submission] = []
        """Submissions that wait for the next transaction."""
        self.receipts: list[tuple[Submission, Receipt]] = []
        self.attachments: list[tuple[Submission, Attachment]] = []
        self.known: dict[str, int] = {}
        self.points = Points([], [], {})
        self.pieces: list[Piece] = []
        self.names: set[str] = set()
        """Names of features that the stream sees for the first time."""
        self.predictions: dict[int, list[Any]] = {}
        self.skipped: dict[int, dict[int, str]] = {}
        self.head = 0
        self.prediction_bytes = 0
        """Bytes of JSON of all predictions that aren't numbers."""
        self.steps = Steps()
        # As a part of a shared commit:
        self.wakeup = held_lock()
        self.cancelled = False
        self.done = False
        self.error: BaseException | None = None

    @property
    def size(self) -> int:
        return _size(len(self.points.xs), self.pieces)

    @property
    def observations(self) -> int:
        """The number of points that are learned and to be stored."""
        return len(self.points.xs)

    @property
    def requests(self) -> int:
        """The number of learn requests in it."""
        return len(self.submissions) - len(self.deferred)

    def on_commit(self) -> None:
        """Update metrics after the commit."""
        self.steps.end("commit")
        for phase, began, ended in self.steps.all:
            _phase_seconds[phase].observe((ended - began) / 1e9)
        duplicates = sum(receipt.duplicates for _, receipt in self.receipts)
        if duplicates:
            _duplicates.add(duplicates)

    def cancel(self) -> bool:
        """Return False: a transaction can't be cancelled."""
        return False

    def begin(self) -> None:
        """Read the stream's head and the known keys, and catch the replicas up. Nothing is stored yet.

        Raises
        ------
        Retry
            If one of the stream's models must be quarantined first.
        """
        for submission in self.submissions:
            submission.steps = self.steps
        notes = [note for submission in self.submissions for note in submission.points.notes.values()]
        unique_keys = [once for note in notes if (once := note.unique_key) is not None]
        self.head, epoch, self.known = log.lock_and_read_head(self.replicas.stream_id, unique_keys)
        self.steps.end("lock")
        if quarantine.awaits(self.replicas.models):
            raise Retry
        features = max((len(x) for submission in self.submissions for x in submission.points.xs), default=0)
        self.replicas.catch_up(self.head, epoch, features, to_learn=True)
        self.steps.end("catch_up")

    def learn(self) -> None:
        """Let every model predict and learn the new points.

        Raises
        ------
        Retry
            If a request was refused because its points took too long.
        """
        replicas = self.replicas
        names = {model.pk: model.name for model in replicas.models.values()}
        began = monotonic()
        for index, submission in enumerate(self.submissions):
            late = monotonic() - began > MAX_TRANSACTION_SECONDS or self.prediction_bytes > MAX_PREDICTIONS_BYTES
            if index and not self.has_attachments and late:
                self.deferred = self.submissions[index:]
                break
            if submission.error is None and submission.begin():
                submission.names = names
                self._process(submission)
        self.steps.end("fold")

    def _process(self, submission: Submission) -> None:
        attachment = submission.attachment
        try:
            if submission.descriptor != self.replicas.descriptor:
                raise descriptor_conflict(self.replicas.descriptor, submission.descriptor)
            receipt = None
            if attachment is not None:
                seqs = attachment.existing()
                if seqs is None:
                    check_keys_are_new(submission.points, self.known)
                else:
                    receipt = Receipt(seqs, len(seqs), old=dict(enumerate(seqs)))
            if receipt is None:
                receipt = self._learn(submission)
        except (PredictionsTooLarge, TooSlow, Busy) as exc:
            submission.error = exc
            raise Retry from exc
        except (Invalid, Conflict, Forbidden, TooLarge) as exc:
            submission.error = exc
            return
        if attachment is not None and not receipt.old:
            self.attachments.append((submission, attachment))
            attachment.assign(receipt.seqs)
        known = self.replicas.familiarity
        if known is not None and submission.points.xs and not receipt.duplicates:
            receipt.faults = known.faults_of_learned(
                submission.points.xs
            )  # before the commit: it may not fail after it
        self.receipts.append((submission, receipt))

    @property
    def has_changes(self) -> bool:
        """Whether there is data to store."""
        return bool(self.points.xs or self.attachments)

    def store(self, *, last: bool) -> None:
        """Append the learned points to the log. ``last``: no statement follows. It may be repeated after a rollback.

        Raises
        ------
        Retry
            If an attachment is refused.
        """
        if self.points.xs:
            waiting = [
                (self.head + n + 1, note.identifier, next(iter(note.given)))
                for n, note in self.points.notes.items()
                if note.identifier is not None and note.given
            ]
            last = last and not (waiting or self.attachments or self.names)
            log.append(
                self.replicas.stream_id, self.head, self.pieces, self.points.notes, datetime.now(UTC),
                self.predictions, self.skipped, last=last,
            )  # fmt: skip
            if waiting:
                _record_labels(waiting)
            if self.names:
                names = [FeatureName(stream_id=self.replicas.stream_id, name=name) for name in sorted(self.names)]
                FeatureName.objects.bulk_create(names, ignore_conflicts=True)
        for submission, attachment in self.attachments:
            try:
                attachment.store()
            except (Conflict, Forbidden) as exc:
                submission.error = exc
                raise Retry from exc
            attachment.audit()

    def deliver_receipts(self) -> None:
        """Give each submission its receipt, after the commit."""
        if self.points.xs and self.replicas.familiarity is not None:
            self.replicas.familiarity.note(self.head + 1, self.points.xs)
        for submission, receipt in self.receipts:
            submission.receipt = receipt

    def refuse_pending(self, exc: Exception) -> None:
        """Refuse the submissions that have neither a receipt nor an error yet."""
        for submission in self.submissions:
            if not submission.done:
                submission.error = exc

    def _learn(self, submission: Submission) -> Receipt:
        points, pieces, known = submission.points, submission.pieces, self.known
        first = self.head + len(self.points.xs) + 1
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
            once = None if note is None else note.unique_key
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
                pieces = encoded(points.xs, points.ys)
            self._fold(first, points, pieces, indexes, receipt)
            known.update(names)
        return receipt

    def _fold(self, first: int, points: Points, pieces: list[Piece], indexes: Sequence[int], receipt: Receipt) -> None:
        size = len(receipt.seqs)
        replicas = list(self.replicas.replicas.values())
        if points.notes:
            _check_given_predictions(replicas, points)
        names = self.replicas.new_names(points.xs)
        before = [(replica, replica.n, replica.learned, replica.skipped, replica.last_skip) for replica in replicas]
        outcomes: dict[int, tuple[list[Any], dict[int, str]]] = {}
        limit = TimeLimit()
        bytes_before = self.prediction_bytes
        for replica in replicas:
            given = points.given(replica.model_id) if points.notes else {}
            outcomes[replica.model_id] = self._advance(replica, first, points, given, limit)
        if self.prediction_bytes - bytes_before > MAX_PREDICTIONS_BYTES:
            raise _predictions_too_large(len(points.xs), self.prediction_bytes - bytes_before)
        refusals = [skipped for _, skipped in outcomes.values() if skipped]
        if refusals and len(refusals) == len(outcomes):
            for offset in sorted(refusals[0]):
                if all(is_fault_of_point(skipped.get(offset, "")) for skipped in refusals):
                    self._rewind(before)
                    raise self._refusal(indexes[offset], offset, size, outcomes)
        shift = len(self.points.xs)
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
        self.points.extend(points)
        self.pieces += pieces
        self.names |= names
        self.replicas.names |= names

    def _advance(
        self, replica: Replica, first: int, points: Points, given: dict[int, Any], limit: TimeLimit
    ) -> tuple[list[Any], dict[int, str]]:
        """Let a replica fold the points in chunks. Return its predictions and the reasons for skipped points by offset.

        Raises
        ------
        TooSlow, Busy
            If the points take more time than allowed for one request.
        PredictionsTooLarge
            If the predictions are too large.
        """
        xs, ys = points.xs, points.ys
        low = 0
        try:
            if len(xs) <= ChunkSizer.FIRST:
                found = replica.advance(first, xs, ys, given, until=math.inf if len(xs) == 1 else limit.until)
                self._count_prediction_bytes(replica, found[0])
                return found
            predictions: list[Any] = []
            skipped: dict[int, str] = {}
            for low, high in ChunkSizer(CHUNK_SECONDS).chunks(len(xs)):
                some, some_skipped = replica.advance(
                    first + low, xs[low:high], ys[low:high], shifted(given, low, high), until=limit.until
                )
                predictions += some
                self._count_prediction_bytes(replica, some)
                if self.prediction_bytes > 2 * MAX_PREDICTIONS_BYTES:
                    raise _predictions_too_large(len(xs), self.prediction_bytes)
                skipped.update({low + offset: why for offset, why in some_skipped.items()})
            return predictions, skipped
        except DeadlineExceeded as exc:
            raise _too_slow(replica, low + exc.done, len(xs), limit) from exc
        except BrokenReplica:
            renewed = self._renewed(replica.model_id)

            def check(done: int) -> None:
                if limit.is_over:
                    raise _too_slow(renewed, done, len(xs), limit)

            return replay.advance(renewed, first, xs, ys, given, {}, check)

    def _count_prediction_bytes(self, replica: Replica, predictions: list[Any]) -> None:
        """Add the size of predictions that aren't numbers."""
        if not isinstance(replica.metrics, RegressionMetrics):
            self.prediction_bytes += len(dumps_exact(predictions))

    def _renewed(self, model_id: int) -> Replica:
        """Rebuild a replica as it was before the current submission, from the committed log and this transaction's points."""
        replica = self.replicas.rebuild(model_id, self.head)
        points = self.points
        if points.xs:
            skip = self.skipped.get(model_id, {})
            replay.advance(replica, self.head + 1, points.xs, points.ys, points.given(model_id), skip)
        return replica

    def _rewind(self, before: list[tuple[Replica, int, int, int, Any]]) -> None:
        for replica, n, learned, skipped, last_skip in before:
            current = self.replicas.replicas[replica.model_id]
            if current is replica and replica.learned == learned:
                # It refused every point and has not changed: only its counts are to be reset.
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
        found.for_anyone = f"{refused}; the reasons are shown to users who may read the models"
        return found


def _predictions_too_large(points: int, size: int) -> PredictionsTooLarge:
    return PredictionsTooLarge(
        f"the models' predictions for {points} observations take more than {size // 2**20} MB; at most "
        f"{MAX_PREDICTIONS_BYTES // 2**20} MB are allowed. Nothing was stored: send fewer observations in one request"
    )


def _too_slow(replica: Replica, done: int, size: int, limit: TimeLimit) -> TailraceError:
    return limit.error(
        replica.name,
        f"{size} observations at once",
        f", so nothing was stored: send at most {max(1, done // 2)} in one request",
    )


def _check_given_predictions(replicas: list[Replica], points: Points) -> None:
    """Check that predictions that a caller sends for a regression model are numbers. Predictions of the server always are."""
    for replica in replicas:
        if replica.flavor.name != "regression":
            continue
        for offset, prediction in points.given(replica.model_id).items():
            if points.notes[offset].identifier is None and not isinstance(prediction, (int, float)):
                raise Invalid(
                    f"prediction is {format_value(prediction)}: expected a number, because {replica.name} is a regression model",
                    field="prediction",
                )


def _record_labels(waiting: list[tuple[int, str, int]]) -> None:
    """Store the observation numbers of labels of kept predictions, given as (observation, identifier, model) each."""
    with connection.cursor() as cursor:
        cursor.executemany(
            "UPDATE learning_prediction SET seq = %s WHERE identifier = %s AND model_id = %s AND seq IS NULL", waiting
        )
