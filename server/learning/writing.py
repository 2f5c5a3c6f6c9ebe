"""The write path: points in, predicted, scored, learned and committed, in one order for everybody.

Requests for one stream that arrive while another is being learned wait together, and one of their threads works for all
(:mod:`server.learning.combining`), so that the cost of a commit is shared under load. On PostgreSQL a stream's models learn
in the transaction that stores the points, and streams commit side by side. On SQLite, which has one writer, models
learn before the transaction, under the lock of their stream alone, and the streams that are ready to commit share one
(:mod:`server.learning.commits`): a slow model holds up its own stream.
"""

import threading
from collections.abc import Iterable
from time import monotonic, perf_counter_ns, thread_time

from django.db import DatabaseError, InterfaceError

from server.learning import commits, quarantine
from server.learning.combining import Combiner
from server.learning.companions import Companion
from server.learning.receipts import Receipt, recall
from server.learning.replay import Unstorable
from server.learning.replica import FATAL, reason
from server.learning.replicaset import SETS, ReplicaSet
from server.learning.turn import Again, Submission, Turn
from server.learning.waiters import NoRoom, room_for
from server.streams import locks, log, trips
from server.streams.codec import exact, text
from server.streams.errors import Invalid
from server.streams.log import Point, Points
from server.streams.tracing import Step, Tracer, Tracing
from server.streams.validation import check_size

_beginning = threading.Lock()


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
        If every model says that one of them is wrong; nothing is stored.
    TooLarge
        If a model takes too long for so many, or the stream would have too many features; nothing is stored.
    Conflict
        If the stream's features are made by another definition, or the companion is refused; nothing is stored.
    Forbidden
        If there may be no more companions of the kind; nothing is stored.
    NotFound
        If the stream is gone.
    Unavailable
        If the database can't be reached or can't store, or the stream's models have no time.
    """
    points = points if isinstance(points, Points) else Points.of(points)
    replicas = SETS.of(stream_id)
    submission = Submission(replicas, points, _encoded(points), descriptor, companion)
    began = perf_counter_ns()
    combiner = replicas.writers or _combiner(replicas)
    waiters = replicas.waiters
    with room_for(len(points.xs), waiters):
        waiters.join_if_slow()
        try:
            combiner.submit(submission, waiters)
        finally:
            waiters.leave()
    if Tracing.tracer is not None:
        _trace(Tracing.tracer, began, submission)
    if submission.error is not None:
        raise submission.error
    assert submission.receipt is not None
    if submission.receipt.old:
        recall(submission.receipt, submission.names, stream_id)
    return submission.receipt


def _combiner(replicas: ReplicaSet) -> Combiner[Submission]:
    """Where those wait who write to the set's stream: made at the first write."""
    with _beginning:
        if replicas.writers is None:
            replicas.writers = Combiner(_learn_group, commits.MOST_POINTS_IN_GROUP)
        return replicas.writers


def _encoded(points: Points) -> list[log.Piece]:
    """The points as they are stored; what can't be stored is refused here, before it joins what others sent."""
    try:
        if points.notes:
            text({n: note.stored() for n, note in points.notes.items()})
        pieces = log.encoded(points.xs, points.ys)
    except TypeError as exc:  # orjson's errors are this one's children
        raise Invalid(f"the observations hold what has no form in JSON: {exc}") from exc
    for piece in pieces:
        if len(piece.xs) > SURELY_FINE:
            _check_sizes(points)
            break
    return pieces


SURELY_FINE = 65_536
"""Bytes that the features of a point may take whatever the setting."""


def _check_sizes(points: Points) -> None:
    """Refuse points that are too large.

    Raises
    ------
    TooLarge
        Naming the first.
    """
    for index, x in enumerate(points.xs):
        check_size(exact(x), "x" if len(points.xs) == 1 else f"observations[{index}].x")


def _trace(tracer: Tracer, began: int, submission: Submission) -> None:
    steps = submission.steps
    made_of: list[Step] = [] if steps is None else [("wait", began, steps.began), *steps.all]
    tracer.note("learn", began, made_of, {"tailrace.observations": len(submission.points.xs)})


def _learn_group(group: list[Submission]) -> list[Submission]:
    """Learn what several requests sent to one stream; those that are returned wait for the next group."""
    replicas = group[0].replicas
    began, used = monotonic(), thread_time()
    try:
        return _learn_turns(replicas, group)
    finally:
        replicas.waiters.took(monotonic() - began, thread_time() - used)


def _learn_turns(replicas: ReplicaSet, group: list[Submission]) -> list[Submission]:
    with replicas.lock:
        while True:
            turn = Turn(replicas, [submission for submission in group if not submission.done])
            try:
                if turn.submissions:
                    _learn_turn(turn)
                turn.answer()
                return turn.left
            except BaseException as exc:
                if not isinstance(exc, NoRoom):
                    replicas.drop()
                if isinstance(exc, Unstorable):
                    quarantine.stop(exc)
                again = isinstance(exc, (Again, Unstorable)) and _settled(turn)
                if not again:
                    turn.refuse(exc if isinstance(exc, Exception) else RuntimeError(reason(exc)))
                if isinstance(exc, FATAL):
                    raise
                if not again:
                    return []


def _settled(turn: Turn) -> bool:
    """Whether the quarantines that a turn waits for are stored; if not, the turn's submissions are refused."""
    try:
        quarantine.settle()
    except Exception as exc:
        turn.refuse(exc)
        return False
    return True


def _learn_turn(turn: Turn) -> None:
    try:
        if locks.is_sqlite():
            with locks.stream_lock(turn.replicas.stream_id):
                turn.begin()
                turn.take()
                if turn.changes:
                    commits.submit(turn)
                    return
        else:
            with trips.transaction():
                turn.begin()
                turn.take()
                turn.store(last=True)
    except (DatabaseError, InterfaceError) as exc:
        raise locks.give_up(exc) from exc
    commits.count([turn])
