"""Background work: snapshots, backfills, rebuilds after a retraction, quarantines, and the release of memory.

Every process has three threads for it: one for folds, which may take hours, one for records, and one for everything else. Work
that only one process may do is leased in the database, so that another process continues it if this one dies.
"""

import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial

from django.conf import settings
from django.db import DatabaseError, InterfaceError, close_old_connections, connection
from django.db.models import Max

from server.core.errors import Unavailable
from server.core.metrics import declarations
from server.learning import quarantine
from server.learning.background import liveness_marks
from server.learning.background.backfills import work_on_backfills
from server.learning.background.rebuilds import rebuild_after_retractions
from server.learning.background.record_writer import keep_records
from server.learning.background.verifications import start_waiting
from server.learning.budgets.cpu_usage import resident_bytes
from server.learning.concurrency.waiting_threads import forget_old_slow_streams
from server.learning.fold import familiarity, replay, snapshots
from server.learning.fold.estimator_errors import FATAL
from server.learning.fold.replica import Replica
from server.learning.fold.replica_set import SETS, ReplicaSet
from server.learning.models import Model, Snapshot
from server.learning.predictions import kept_predictions
from server.streams.models import Stream

logger = logging.getLogger(__name__)

PAUSE = 0.25
"""Seconds between two checks for work."""

SPACING = 1.0
"""Least seconds between two snapshots of a model. Without it, a model that learns 50,000 points a second is stored all the time."""

GROWTH = 256 * 2**20
"""Growth of the process's memory after which all changed models are measured, bytes."""

IN_MEMORY = 3
"""Approximate ratio of a state's size in memory to its stored size."""

NAME_BYTES = 1_000
"""Approximate memory for one feature, bytes: a long non-ASCII name, and the summary of its values."""

SET_BYTES = 5_000
"""Approximate memory for everything else in a replica set, bytes."""

LOOK = 5.0
"""Seconds between two checks for replica sets that are no longer needed."""

QUIET = 2.0
"""Seconds without use after which a replica set may be removed from memory."""

UNUSED = 3600.0
"""Seconds without use after which a replica set without models is removed, even if its stream exists."""

STREAMS_AT_ONCE = 500
"""Most streams in one query."""


class Maintenance(threading.Thread):
    """A background thread that does its work again and again. :meth:`stop` ends it after the current step.

    Parameters
    ----------
    work
        Functions called in each step. If one fails, the others are still called.
    name
        The thread's name.
    """

    def __init__(self, *work: Callable[[], object], name: str = "maintenance") -> None:
        super().__init__(name=name, daemon=True)
        self._work = work
        self._stopping = threading.Event()

    def stop(self) -> None:
        self._stopping.set()

    def run(self) -> None:
        while not self._stopping.wait(PAUSE):
            self.step()
        close_old_connections()
        connection.close()

    def step(self) -> None:
        """Call each function once."""
        for work in self._work:
            liveness_marks.mark_alive()
            try:
                work()
            except FATAL:
                raise
            except (DatabaseError, InterfaceError, Unavailable) as exc:
                declarations.maintenance_failures.labels().add()
                if not isinstance(exc, Unavailable):  # that one is counted where it is raised
                    declarations.database_errors.labels(type(exc).__name__).add()
                logger.warning("maintenance waits for the database: %s", exc)
                connection.close()
                self._stopping.wait(2)
            except BaseException:
                declarations.maintenance_failures.labels().add()
                logger.exception("maintenance failed and goes on")
                self._stopping.wait(2)


class _Purged:
    """When expired predictions were last deleted."""

    at = 0.0


def purge_when_due() -> None:
    """Delete expired predictions, every hour."""
    if time.monotonic() - _Purged.at > 3600:
        kept_predictions.delete_expired(datetime.now(UTC))
        _Purged.at = time.monotonic()


_pid = 0


def start(*more: Callable[[], object], **threads: Sequence[Callable[[], object]]) -> None:
    """Start the background threads in this process, once.

    Parameters
    ----------
    more
        Functions that are also called in each step of the thread for short work.
    threads
        Additional threads: the name and the functions of each. They may wait for others, so the liveness probe ignores them.
    """
    global _pid
    if _pid != os.getpid():
        _pid = os.getpid()
        for name, work in zip(liveness_marks.THREADS, ((*short_work(), *more), folds(), (keep_records,)), strict=True):
            Maintenance(*work, name=name).start()
        for name, functions in threads.items():
            Maintenance(*functions, name=name).start()


def short_work() -> tuple[Callable[[], object], ...]:
    """Return the functions that take a moment, whatever the log's length."""
    settle = partial(quarantine.settle, patient=True)
    return settle, write_due_snapshots, keep_summaries, evict, forget_when_due, purge_when_due, start_waiting


def folds() -> tuple[Callable[[], object], ...]:
    """Return the functions that may take hours."""
    return rebuild_after_retractions, work_on_backfills


# Snapshots


def write_due_snapshots(*, all_changed: bool = False) -> int:
    """Write the snapshots that are due by count or by time. Return how many were written."""
    config = settings.TAILRACE
    now = time.monotonic()
    written = 0
    grown = _grown()
    for replicas in SETS.all():
        due: list[tuple[Replica, int, bytes]] = []
        with replicas.try_lock() as held:
            for replica in list(replicas.replicas.values()) if held else ():
                new = replica.n - replica.snapshot_n
                if new <= 0:
                    replica.changed_at = None
                    continue
                if replica.changed_at is None:
                    replica.changed_at = now
                waited = now - replica.changed_at
                by_count = new >= config.snapshot_points and waited >= SPACING
                if by_count or waited >= config.snapshot_seconds or all_changed or grown:
                    replica.changed_at = None
                    try:
                        due.append((replica, replica.n, replay.dump(replica)))
                    except replay.Unstorable as exc:
                        replica.snapshot_n = replica.n
                        quarantine.stop(exc)
        for replica, n, state in due:
            liveness_marks.mark_alive()
            replica.size = len(state)
            if len(state) > config.model_state_mb * 2**20:
                replica.snapshot_n = n
                quarantine.demand(
                    replica.model_id, "store", n,
                    f"its state has grown to {len(state) // 2**20} MB; at most {config.model_state_mb} MB are allowed",
                )  # fmt: skip
                continue
            latest = Snapshot.objects.filter(model_id=replica.model_id, generation=replica.generation).aggregate(
                last=Max("seq")
            )["last"]
            if latest is None or latest < n:
                snapshots.store(replica.model_id, replica.generation, n, state)
                declarations.snapshots.labels().add()
                written += 1
            replica.snapshot_n, replica.snapshot_at = n, datetime.now(UTC)
        if due:
            _hold_to_memory(replicas)
    if grown:
        _Weighed.resident = resident_bytes()
    return written


def keep_summaries(*, all_changed: bool = False) -> None:
    """Read the missing parts of the streams' summaries from the log, and store the summaries that are due.

    Collected points of streams that are not in use are added to their summaries.
    """
    for replicas in SETS.all():
        known = replicas.familiarity
        if known is None or (known.recent is None and known.upto == known.stored):
            continue
        part = due = None
        is_quiet = time.monotonic() - replicas.used > QUIET
        with replicas.try_lock() as held:
            if held and is_quiet:
                known.take_in()
            if held and (part := known.missing()) is not None and known.recent is not None:
                upto = known.recent.after
        if part is not None:
            familiarity.read(replicas.stream_id, part, upto, familiarity.STRETCH)
        with replicas.try_lock() as held:
            if held:
                if part is not None:
                    known.fill(part)
                due = known.due(at_once=all_changed)
        if due is not None:
            liveness_marks.mark_alive()
            familiarity.store(replicas.stream_id, *due)


class _Weighed:
    """This process's memory when all its models were last measured, bytes."""

    resident = 0


def _grown() -> bool:
    """Return whether this process has grown so much that its models are to be measured before they are due."""
    resident = resident_bytes()
    _Weighed.resident = min(_Weighed.resident or resident, resident)
    return resident - _Weighed.resident > GROWTH


def _hold_to_memory(replicas: ReplicaSet) -> None:
    """If one stream's models exceed the memory allowed, quarantine the largest model of the user whose models take most."""
    config = settings.TAILRACE
    most = max(config.replica_memory_mb, IN_MEMORY * config.model_state_mb) * 2**20
    sizes = {replica.model_id: IN_MEMORY * replica.size for replica in list(replicas.replicas.values())}
    together = sum(sizes.values())
    if together <= most:
        return
    owners = dict(Model.objects.filter(pk__in=sizes).values_list("pk", "owner_id"))
    shares: Counter[int | None] = Counter()
    for pk, owner in owners.items():
        shares[owner] += sizes[pk]
    largest = max(owners, key=lambda pk: (shares[owners[pk]], sizes[pk]), default=None)
    if largest is not None:
        quarantine.demand(
            largest, "store", None,
            f"the models of its stream take about {together // 2**20} MB of memory together, and at most "
            f"{most // 2**20} MB are allowed; it is the largest model of the user whose models take most",
        )  # fmt: skip


def evict() -> None:
    """Remove the least recently used replica sets from memory while all together take too much."""
    sets = SETS.all()
    sizes = {id(replicas): _weight(replicas) for replicas in sets}
    excess = sum(sizes.values()) - settings.TAILRACE.replica_memory_mb * 2**20
    # The one used last stays, whatever its size, since the next request would load it again.
    for replicas in sorted(sets, key=lambda replicas: replicas.used)[:-1]:
        if excess <= 0:
            return
        with replicas.try_lock() as held:
            if held:
                replicas.drop()
                replicas.familiarity = None
        SETS.forget(replicas.stream_id, QUIET)
        excess -= sizes[id(replicas)]


def _weight(replicas: ReplicaSet) -> int:
    """Return the approximate memory of a replica set, bytes."""
    check, known = replicas.checker, replicas.familiarity
    names = len(replicas.names) + len(check.features or ()) + replicas.seen.names
    if known is not None:
        names += known.names
    models = sum(replica.size for replica in list(replicas.replicas.values()))
    return SET_BYTES + IN_MEMORY * models + NAME_BYTES * names + check.size


class _Looked:
    """When unneeded replica sets were last searched for."""

    at = 0.0


def forget_when_due() -> None:
    """Remove unneeded replica sets from memory, every few seconds."""
    if time.monotonic() - _Looked.at > LOOK:
        _Looked.at = time.monotonic()
        forget()


def forget(quiet: float = QUIET, unused: float = UNUSED) -> None:
    """Remove the replica sets of deleted streams, and those without models that have not been used for long.

    Parameters
    ----------
    quiet
        Seconds without use, for the set of a deleted stream.
    unused
        Seconds without use, for the set of a stream that exists.
    """
    now = time.monotonic()
    sets = [replicas for replicas in SETS.all() if now - replicas.used > quiet]
    for low in range(0, len(sets), STREAMS_AT_ONCE):
        liveness_marks.mark_alive()
        some = sets[low : low + STREAMS_AT_ONCE]
        pks = [replicas.stream_id for replicas in some]
        there = set(Stream.objects.filter(pk__in=pks).values_list("pk", flat=True))
        for replicas in some:
            if replicas.stream_id not in there:
                SETS.forget(replicas.stream_id, quiet)
            elif not replicas.replicas:
                SETS.forget(replicas.stream_id, unused)
    forget_old_slow_streams()
