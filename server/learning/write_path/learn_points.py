"""The learn call: every model predicts, is scored on and learns the points, and they are committed, in one order for all.

Requests for one stream that arrive while another is being learned wait together. One of their threads works for all
(:mod:`server.learning.concurrency.combiner`), so that they share the cost of a commit.

On PostgreSQL, a stream's models learn in the transaction that stores the points, and streams commit in parallel. SQLite has
one writer. There, models learn before the transaction, under the lock of their stream alone, and the streams that are ready
to commit share a commit (:mod:`server.learning.write_path.shared_commits`). So a slow model delays its own stream only.
"""

import threading
from collections.abc import Iterable
from time import monotonic, perf_counter_ns, thread_time

from django.db import DatabaseError, InterfaceError

from server.core.db import learn_statements, locks
from server.core.errors import Invalid
from server.core.json_codec import dumps_exact, dumps_text
from server.core.tracing import Step, Tracer, Tracing
from server.core.validation import check_size
from server.learning import quarantine
from server.learning.concurrency.combiner import Combiner
from server.learning.concurrency.waiting_threads import NoLoadingSlot, slot_for
from server.learning.fold.estimator_errors import FATAL, reason
from server.learning.fold.replay import Unstorable
from server.learning.fold.replica_set import SETS, ReplicaSet
from server.learning.write_path import shared_commits
from server.learning.write_path.attachments import Attachment
from server.learning.write_path.receipts import Receipt, recall
from server.learning.write_path.transaction import LearnTransaction, Retry, Submission
from server.streams.points import Piece, Point, Points, encoded

_beginning = threading.Lock()


def learn(
    stream_id: int,
    points: Points | Iterable[Point],
    *,
    descriptor: str | None = None,
    attachment: Attachment | None = None,
) -> Receipt:
    """Append points to a stream; every model predicts, is scored on and learns them. Return when they are on disk.

    Parameters
    ----------
    stream_id
        The stream.
    points
        Checked points (:class:`server.core.validation.Checker`). Either all or none are learned.
    descriptor
        Name of the descriptor of their features, as the request has it.
    attachment
        Data that is stored with them.

    Raises
    ------
    Invalid
        If every model refuses one of them; nothing is stored.
    TooLarge
        If a model takes too long for so many points, or the stream would have too many features; nothing is stored.
    Conflict
        If the stream has another descriptor, or the attachment is refused; nothing is stored.
    Forbidden
        If the quota for such attachments is used up; nothing is stored.
    NotFound
        If the stream is gone.
    Unavailable
        If the database can't be reached or can't store, or the stream's models are busy.
    """
    points = points if isinstance(points, Points) else Points.of(points)
    replicas = SETS.of(stream_id)
    submission = Submission(replicas, points, _encoded(points), descriptor, attachment)
    began = perf_counter_ns()
    combiner = replicas.writers or _combiner(replicas)
    waiting = replicas.waiting
    with slot_for(len(points.xs), waiting):
        waiting.enter_if_slow()
        try:
            combiner.submit(submission, waiting)
        finally:
            waiting.leave()
    if Tracing.tracer is not None:
        _trace(Tracing.tracer, began, submission)
    if submission.error is not None:
        raise submission.error
    assert submission.receipt is not None
    if submission.receipt.old:
        recall(submission.receipt, submission.names, stream_id)
    return submission.receipt


def _combiner(replicas: ReplicaSet) -> Combiner[Submission]:
    """Return the combiner of the stream's writers, which is made at the first write."""
    with _beginning:
        if replicas.writers is None:
            replicas.writers = Combiner(_learn_group, shared_commits.MOST_POINTS_IN_GROUP)
        return replicas.writers


def _encoded(points: Points) -> list[Piece]:
    """Return the points as they are stored. Points that can't be stored are refused here, before they join a group."""
    try:
        if points.notes:
            dumps_text({n: note.stored() for n, note in points.notes.items()})
        pieces = encoded(points.xs, points.ys)
    except TypeError as exc:  # orjson's errors are this one's children
        raise Invalid(f"the observations hold a value that JSON can't represent: {exc}") from exc
    for piece in pieces:
        if len(piece.xs) > SURELY_FINE:
            _check_sizes(points)
            break
    return pieces


SURELY_FINE = 65_536
"""Bytes of features that are always allowed: no setting is lower."""


def _check_sizes(points: Points) -> None:
    """Check the size of each point's features.

    Raises
    ------
    TooLarge
        If one is too large. The message names the first.
    """
    for index, x in enumerate(points.xs):
        check_size(dumps_exact(x), "x" if len(points.xs) == 1 else f"observations[{index}].x")


def _trace(tracer: Tracer, began: int, submission: Submission) -> None:
    steps = submission.steps
    made_of: list[Step] = [] if steps is None else [("wait", began, steps.began), *steps.all]
    tracer.note("learn", began, made_of, {"tailrace.observations": len(submission.points.xs)})


def _learn_group(group: list[Submission]) -> list[Submission]:
    """Learn the points of several requests to one stream. Return the submissions that wait for the next group."""
    replicas = group[0].replicas
    began, used = monotonic(), thread_time()
    try:
        return _learn_until_stored(replicas, group)
    finally:
        replicas.record_learning(monotonic() - began, thread_time() - used)


def _learn_until_stored(replicas: ReplicaSet, group: list[Submission]) -> list[Submission]:
    with replicas.lock:
        while True:
            transaction = LearnTransaction(replicas, [submission for submission in group if not submission.done])
            try:
                if transaction.submissions:
                    _learn_transaction(transaction)
                transaction.deliver_receipts()
                return transaction.deferred
            except BaseException as exc:
                if not isinstance(exc, NoLoadingSlot):
                    replicas.drop()
                if isinstance(exc, Unstorable):
                    quarantine.stop(exc)
                retry = isinstance(exc, (Retry, Unstorable)) and _quarantines_stored(transaction)
                if not retry:
                    transaction.refuse_pending(exc if isinstance(exc, Exception) else RuntimeError(reason(exc)))
                if isinstance(exc, FATAL):
                    raise
                if not retry:
                    return []
            finally:
                replicas.give_back_slot()


def _quarantines_stored(transaction: LearnTransaction) -> bool:
    """Store the pending quarantines and return True; if that fails, refuse the transaction's submissions and return False."""
    try:
        quarantine.settle()
    except Exception as exc:
        transaction.refuse_pending(exc)
        return False
    return True


def _learn_transaction(transaction: LearnTransaction) -> None:
    try:
        if locks.is_sqlite():
            with locks.stream_lock(transaction.replicas.stream_id):
                transaction.begin()
                transaction.learn()
                if transaction.has_changes:
                    shared_commits.submit(transaction)
                    return
        else:
            with learn_statements.transaction():
                transaction.begin()
                transaction.learn()
                transaction.store(last=True)
    except (DatabaseError, InterfaceError) as exc:
        raise locks.to_unavailable(exc) from exc
    shared_commits.count([transaction])
