"""What a server does beside answering: snapshots, backfills, rebuilds after a retraction, quarantines, and tidying up.

Two threads in every process: one for folds, which may take hours, and one for all else. Work that only one process may do is
leased in the database, so that it goes on elsewhere when a process dies in the middle of it.
"""

import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

from django.conf import settings
from django.db import DatabaseError, InterfaceError, close_old_connections, connection
from django.db.models import Max

from server.learning import asking, familiarity, progress, quarantine, replay, snapshots
from server.learning.backfills import work_on_backfills
from server.learning.budgets import resident_bytes
from server.learning.models import Model, Snapshot
from server.learning.rebuilds import rebuild_after_retractions
from server.learning.replica import FATAL, Replica
from server.learning.replicaset import SETS, ReplicaSet
from server.learning.waiters import forget_slow
from server.streams import instruments
from server.streams.errors import Unavailable
from server.streams.models import Stream

logger = logging.getLogger(__name__)

PAUSE = 0.25
"""Seconds between two looks at whether there is something to do."""

SPACING = 1.0
"""Least seconds between two snapshots of a model: at 50,000 points a second, one by count alone would follow another."""

GROWTH = 256 * 2**20
"""By how much the process may grow before all models that changed are weighed, bytes."""

IN_MEMORY = 3
"""A state takes about so many times as much memory as it does stored."""

NAME_BYTES = 1_000
"""What is known of a feature takes in memory, about: a long name in no ASCII, and what the stream has seen of it."""

SET_BYTES = 5_000
"""What else belongs to a replica set takes in memory, about."""

LOOK = 5.0
"""Seconds between two looks at which replica sets are no longer needed."""

QUIET = 2.0
"""Seconds that nobody has asked for a replica set before it may be forgotten."""

UNUSED = 3600.0
"""Seconds after which a replica set without models is forgotten though its stream is there."""

STREAMS_AT_ONCE = 500
"""Streams that one query asks for."""


class Maintenance(threading.Thread):
    """A thread that looks whether there is something to do. :meth:`stop` ends it after the step at hand.

    Parameters
    ----------
    work
        What is done at every look; what fails keeps nothing else from being done.
    name
        The thread's.
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
        """One look at everything."""
        for work in self._work:
            progress.moved()
            try:
                work()
            except FATAL:
                raise
            except (DatabaseError, InterfaceError, Unavailable) as exc:
                instruments.maintenance_failures.of().add()
                if not isinstance(exc, Unavailable):  # which was counted where it was raised
                    instruments.database_errors.of(type(exc).__name__).add()
                logger.warning("maintenance waits for the database: %s", exc)
                connection.close()
                self._stopping.wait(2)
            except BaseException:
                instruments.maintenance_failures.of().add()
                logger.exception("maintenance failed and goes on")
                self._stopping.wait(2)


class _Purged:
    """When predictions that expired were deleted last."""

    at = 0.0


def purge_when_due() -> None:
    """Delete what has expired, every hour."""
    if time.monotonic() - _Purged.at > 3600:
        asking.purge(datetime.now(UTC))
        _Purged.at = time.monotonic()


_pid = 0


def start(*more: Callable[[], object]) -> None:
    """Start the threads in this process, once. ``more`` is done at every look, too."""
    global _pid
    if _pid != os.getpid():
        _pid = os.getpid()
        for name, work in zip(progress.THREADS, ((*short_work(), *more), folds()), strict=True):
            Maintenance(*work, name=name).start()


def short_work() -> tuple[Callable[[], object], ...]:
    """What is done in a moment, whatever the log's length."""
    settle = partial(quarantine.settle, patient=True)
    return settle, write_due_snapshots, keep_summaries, evict, forget_when_due, purge_when_due


def folds() -> tuple[Callable[[], object], ...]:
    """What may take hours."""
    return rebuild_after_retractions, work_on_backfills


# Snapshots


def write_due_snapshots(*, all_changed: bool = False) -> int:
    """Write the snapshots that are due by count or by time, and return how many were written."""
    config = settings.TAILRACE
    now = time.monotonic()
    written = 0
    grown = _grown()
    for replicas in SETS.all():
        due: list[tuple[Replica, int, bytes]] = []
        with replicas.briefly() as held:
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
            progress.moved()
            replica.size = len(state)
            if len(state) > config.model_state_mb * 2**20:
                replica.snapshot_n = n
                quarantine.demand(
                    replica.model_id, "store", n,
                    f"its state has grown to {len(state) // 2**20} MB; the most allowed is {config.model_state_mb} MB",
                )  # fmt: skip
                continue
            latest = Snapshot.objects.filter(model_id=replica.model_id, generation=replica.generation).aggregate(
                last=Max("seq")
            )["last"]
            if latest is None or latest < n:
                snapshots.store(replica.model_id, replica.generation, n, state)
                instruments.snapshots.of().add()
                written += 1
            replica.snapshot_n, replica.snapshot_at = n, datetime.now(UTC)
        if due:
            _hold_to_memory(replicas)
    if grown:
        _Weighed.resident = resident_bytes()
    return written


def keep_summaries(*, all_changed: bool = False) -> None:
    """Read on in the logs of streams that this process doesn't know whole, and store what each has seen when it is due.

    Points of streams that nobody uses at the moment wait no longer to be taken in.
    """
    for replicas in SETS.all():
        known = replicas.familiarity
        if known is None or (known.recent is None and known.upto == known.stored):
            continue
        part = due = None
        is_quiet = time.monotonic() - replicas.used > QUIET
        with replicas.briefly() as held:
            if held and is_quiet:
                known.take_in()
            if held and (part := known.missing()) is not None and known.recent is not None:
                upto = known.recent.after
        if part is not None:
            familiarity.read(replicas.stream_id, part, upto, familiarity.STRETCH)
        with replicas.briefly() as held:
            if held:
                if part is not None:
                    known.fill(part)
                due = known.due(at_once=all_changed)
        if due is not None:
            progress.moved()
            familiarity.store(replicas.stream_id, *due)


class _Weighed:
    """This process's memory when all its models were weighed last, bytes."""

    resident = 0


def _grown() -> bool:
    """Whether this process has grown by so much that its models are to be weighed before they are due."""
    resident = resident_bytes()
    _Weighed.resident = min(_Weighed.resident or resident, resident)
    return resident - _Weighed.resident > GROWTH


def _hold_to_memory(replicas: ReplicaSet) -> None:
    """Where one stream's models need more memory than there is, have one quarantined: the largest of who has most there."""
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
            f"the models of its stream take about {together // 2**20} MB of memory together; the most allowed is "
            f"{most // 2**20} MB, and it is the largest of the user whose models take most",
        )  # fmt: skip


def evict() -> None:
    """Let the replica sets that were used least lately go when all together hold too much."""
    sets = SETS.all()
    sizes = {id(replicas): _weight(replicas) for replicas in sets}
    excess = sum(sizes.values()) - settings.TAILRACE.replica_memory_mb * 2**20
    # The one used last stays whatever its size: it would be back at the next request.
    for replicas in sorted(sets, key=lambda replicas: replicas.used)[:-1]:
        if excess <= 0:
            return
        with replicas.briefly() as held:
            if held:
                replicas.drop()
                replicas.familiarity = None
        SETS.forget(replicas.stream_id, QUIET)
        excess -= sizes[id(replicas)]


def _weight(replicas: ReplicaSet) -> int:
    """What a replica set takes in memory, about, bytes."""
    check, known = replicas.checker, replicas.familiarity
    names = len(replicas.names) + len(check.features or ()) + replicas.seen.names
    if known is not None:
        names += known.names
    models = sum(replica.size for replica in list(replicas.replicas.values()))
    return SET_BYTES + IN_MEMORY * models + NAME_BYTES * names + check.size


class _Looked:
    """When replica sets that aren't needed were looked for last."""

    at = 0.0


def forget_when_due() -> None:
    """Forget what is no longer needed, every few seconds."""
    if time.monotonic() - _Looked.at > LOOK:
        _Looked.at = time.monotonic()
        forget()


def forget(quiet: float = QUIET, unused: float = UNUSED) -> None:
    """Forget the replica sets of streams that were deleted, and those without models that nobody has asked for in long.

    Parameters
    ----------
    quiet
        Seconds that nobody has asked for the set of a stream that was deleted.
    unused
        The same for a stream that is there.
    """
    now = time.monotonic()
    sets = [replicas for replicas in SETS.all() if now - replicas.used > quiet]
    for low in range(0, len(sets), STREAMS_AT_ONCE):
        progress.moved()
        some = sets[low : low + STREAMS_AT_ONCE]
        pks = [replicas.stream_id for replicas in some]
        there = set(Stream.objects.filter(pk__in=pks).values_list("pk", flat=True))
        for replicas in some:
            if replicas.stream_id not in there:
                SETS.forget(replicas.stream_id, quiet)
            elif not replicas.replicas:
                SETS.forget(replicas.stream_id, unused)
    forget_slow()
