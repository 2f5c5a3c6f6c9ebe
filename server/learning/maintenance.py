"""What a server does beside answering: snapshots, backfills, rebuilds after a retraction, and tidying up.

One thread in every process. Work that only one process may do is leased in the database, so that it goes on
elsewhere when a process dies in the middle of it.
"""

import logging
import os
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import DatabaseError, InterfaceError, close_old_connections, connection, transaction
from django.db.models import F, Max, Min, Q, QuerySet

from server.learning import asking, pickles, replay, snapshots
from server.learning.models import Model, Snapshot
from server.learning.replica import FATAL, Replica, reason
from server.learning.replicaset import SETS
from server.streams import instruments
from server.streams.errors import Unavailable
from server.streams.locks import lock_stream, transaction_for_writing
from server.streams.models import Retraction, Stream

logger = logging.getLogger(__name__)

PAUSE = 0.25
"""Seconds between two looks at whether there is something to do."""

SPACING = 1.0
"""Least seconds between two snapshots of a model: at 50,000 points a second, one by count alone would follow another."""

LEASE = timedelta(seconds=30)
CLOSE_ENOUGH = 500
"""A fold this near to the head is finished under the stream's lock."""


_moves = 0


def moved() -> None:
    """Note that the thread comes on: called between pieces of work, and within those that can take long."""
    global _moves
    _moves += 1


def last_move() -> int:
    """A number that changes for as long as the thread of this process comes on."""
    return _moves


class LeaseLost(Exception):
    """Another process took over a piece of work, or it is no longer wanted."""


class Maintenance(threading.Thread):
    """The thread. :meth:`stop` ends it after the step at hand. Others may have ``more`` done at every look."""

    def __init__(self, *more: Callable[[], object]) -> None:
        super().__init__(name="maintenance", daemon=True)
        self._more = more
        self._stopping = threading.Event()
        self._purged = 0.0

    def stop(self) -> None:
        self._stopping.set()

    def run(self) -> None:
        while not self._stopping.wait(PAUSE):
            self.step()
        close_old_connections()
        connection.close()

    def step(self) -> None:
        """One look at everything; what fails keeps nothing else from being done."""
        own: tuple[Callable[[], object], ...] = (
            write_due_snapshots, rebuild_after_retractions, work_on_backfills, evict, self._purge,
        )  # fmt: skip
        for work in (*own, *self._more):
            moved()
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

    def _purge(self) -> None:
        if time.monotonic() - self._purged > 3600:
            asking.purge(datetime.now(UTC))
            self._purged = time.monotonic()


_started: Maintenance | None = None
_pid = 0


def start(*more: Callable[[], object]) -> None:
    """Start the thread in this process, once. It does ``more`` at every look, too."""
    global _started, _pid
    if _started is None or _pid != os.getpid():
        _started, _pid = Maintenance(*more), os.getpid()
        _started.start()


# Snapshots


def write_due_snapshots(*, all_changed: bool = False) -> int:
    """Write the snapshots that are due by count or by time, and return how many were written."""
    config = settings.TAILRACE
    now = time.monotonic()
    written = 0
    for replicas in SETS.all():
        due: list[tuple[Replica, int, bytes]] = []
        with replicas.lock:
            for replica in replicas.replicas.values():
                new = replica.n - replica.snapshot_n
                if new <= 0:
                    replica.changed_at = None
                    continue
                if replica.changed_at is None:
                    replica.changed_at = now
                waited = now - replica.changed_at
                by_count = new >= config.snapshot_points and waited >= SPACING
                if by_count or waited >= config.snapshot_seconds or all_changed:
                    replica.changed_at = None
                    try:
                        due.append((replica, replica.n, pickles.dump_state(replica.state())))
                    except Exception as exc:
                        replica.snapshot_n = replica.n  # not before it is due again
                        logger.warning(
                            "model %s has no snapshot at %d, as it can't be stored (%s): a start replays the log",
                            replica.name, replica.n, reason(exc),
                        )  # fmt: skip
        for replica, n, state in due:
            moved()
            replica.size = len(state)
            latest = Snapshot.objects.filter(model_id=replica.model_id, generation=replica.generation).aggregate(
                last=Max("seq")
            )["last"]
            if latest is None or latest < n:
                snapshots.store(replica.model_id, replica.generation, n, state)
                instruments.snapshots.of().add()
                written += 1
            replica.snapshot_n, replica.snapshot_at = n, datetime.now(UTC)
    return written


def evict() -> None:
    """Let the replica sets that were used least lately go when all together hold too much."""
    sets = SETS.all()
    sizes = {id(replicas): sum(replica.size for replica in list(replicas.replicas.values())) for replicas in sets}
    # A pickled state takes about a third of what it takes in memory.
    excess = 3 * sum(sizes.values()) - settings.TAILRACE.replica_memory_mb * 2**20
    # The one used last stays whatever its size: it would be back at the next request.
    for replicas in sorted(sets, key=lambda replicas: replicas.used)[:-1]:
        if excess <= 0:
            return
        with replicas.lock:
            replicas.drop()
        excess -= 3 * sizes[id(replicas)]


# Backfills


def work_on_backfills() -> None:
    """Take over a backfill that nobody works on, and do it."""
    waiting = Model.objects.filter(status=Model.BACKFILLING).filter(_unleased()).order_by("pk")
    model = waiting.select_related("stream").first()
    if model is None or not _lease(Model.objects.filter(pk=model.pk, status=Model.BACKFILLING), 1):
        return
    try:
        backfill(model)
    except LeaseLost:
        pass
    except (DatabaseError, InterfaceError, Unavailable, *FATAL):
        raise
    except BaseException as exc:
        logger.exception("the backfill of model %s failed", model.name)
        Model.objects.filter(pk=model.pk).update(status=Model.FAILED, error=reason(exc))


def backfill(model: Model) -> None:
    """Fold the stream's history into a new model, and let it serve."""
    replica = snapshots.load(model, model.stream.segment, model.stream.head)
    retracted = replay.left_out(model)
    tick = _Ticker([model.pk], Model.BACKFILLING)
    while True:
        head = _head(model.stream_id)
        if head - replica.n <= CLOSE_ENOUGH:
            break
        replay.feed(replica, model, retracted, head, progress=tick)
    with transaction_for_writing():
        lock_stream(model.stream_id)
        head = _head(model.stream_id)
        replay.feed(replica, model, retracted, head)
        snapshots.add(model.pk, model.generation, head, pickles.dump_state(replica.state()))
        done = Model.objects.filter(pk=model.pk, status=Model.BACKFILLING).update(
            status=Model.READY, progress=head, live_since=head, leased_until=None
        )
        if done:
            Stream.objects.filter(pk=model.stream_id).update(epoch=F("epoch") + 1)


# Rebuilds


def rebuild_after_retractions() -> None:
    """Rebuild the models of a stream whose retractions they don't leave out yet."""
    newest = dict(Retraction.objects.values_list("stream").annotate(last=Max("pk")).order_by())
    if not newest:
        return
    live = Model.objects.filter(status__in=(Model.READY, Model.REBUILDING))
    for stream_id, oldest in live.values_list("stream").annotate(oldest=Min("retraction")).order_by():
        last = newest.get(stream_id, 0)
        if oldest >= last:
            continue
        # Asked anew as the lease is taken: another process may have rebuilt them since we looked.
        behind = live.filter(stream=stream_id, retraction__lt=last)
        pks = list(behind.filter(_unleased()).values_list("pk", flat=True))
        if not _lease(behind.filter(pk__in=pks), len(pks), status=Model.REBUILDING, progress=0):
            continue
        models = list(Model.objects.filter(pk__in=pks).select_related("stream").order_by("pk"))
        try:
            rebuild(models, last)
        except LeaseLost:
            logger.info("the rebuild of stream %s goes on elsewhere", stream_id)
        except (DatabaseError, InterfaceError, Unavailable, *FATAL):
            raise
        except BaseException as exc:
            logger.exception("the rebuild of stream %s failed: it is tried again when its lease ends", stream_id)
            Model.objects.filter(pk__in=pks, status=Model.REBUILDING).update(error=reason(exc))


def rebuild(models: list[Model], retraction: int) -> None:
    """Fold the log anew without what was retracted, and put all new generations in the old ones' place at once."""
    stream = models[0].stream
    tick = _Ticker([model.pk for model in models], Model.REBUILDING)
    built: list[tuple[Model, Replica, dict[int, str]]] = []
    for model in models:
        model.generation += 1
        model.retraction = retraction
        retracted = replay.left_out(model)
        model.live_since = stream.head + 2**62  # what was logged was of another fold
        # What was retracted before a part of the log went is left out of the snapshot that stands for that part.
        start = max(min(retracted) - 1, stream.whole_after)
        replica = snapshots.load(_before(model, retracted), stream.segment, start)
        replica.generation = model.generation
        built.append((model, replica, retracted))
    while True:
        head = _head(stream.pk)
        if all(head - replica.n <= CLOSE_ENOUGH for _, replica, _ in built):
            break
        for model, replica, retracted in built:
            replay.feed(replica, model, retracted, head, progress=tick)
    with transaction_for_writing():
        lock_stream(stream.pk)
        head = _head(stream.pk)
        for model, replica, retracted in built:
            replay.feed(replica, model, retracted, head)
            done = Model.objects.filter(pk=model.pk, generation=model.generation - 1, status=Model.REBUILDING).update(
                status=Model.READY,
                generation=model.generation,
                retraction=retraction,
                live_since=head,
                progress=head,
                leased_until=None,
                error="",
            )
            if not done:
                raise LeaseLost
            if stream.whole_after:
                kept = Snapshot.objects.filter(model_id=model.pk, seq=stream.whole_after)
                kept.filter(generation=model.generation - 1).update(generation=model.generation)
            Snapshot.objects.filter(model_id=model.pk).exclude(generation=model.generation).delete()
            snapshots.add(model.pk, model.generation, head, pickles.dump_state(replica.state()))
        Stream.objects.filter(pk=stream.pk).update(epoch=F("epoch") + 1)


def _before(model: Model, retracted: dict[int, str]) -> Model:
    """The model's last generation, whose early snapshots (before anything newly retracted) still hold."""
    last = Model.objects.get(pk=model.pk)
    last.stream = model.stream
    return last


# Leases


def _unleased() -> Q:
    now = datetime.now(UTC)
    # None lasts for so long: it was taken before a clock was set back, and who took it would be waited for until then.
    return Q(leased_until=None) | Q(leased_until__lt=now) | Q(leased_until__gt=now + 2 * LEASE)


def _lease(work: "QuerySet[Model]", count: int, **changes: Any) -> bool:
    """Take all ``count`` models of ``work``, or none of them."""
    with transaction.atomic():
        taken = work.filter(_unleased()).update(leased_until=datetime.now(UTC) + LEASE, **changes)
        if taken != count:
            transaction.set_rollback(True)
        return 0 < taken == count


class _Ticker:
    """Notes progress and keeps the lease, at most twice a second; yields to requests after every chunk."""

    def __init__(self, pks: list[int], status: str) -> None:
        self.pks, self.status = pks, status
        self.last = time.monotonic()

    def __call__(self, n: int) -> None:
        moved()
        time.sleep(0)
        if time.monotonic() - self.last < 0.5:
            return
        self.last = time.monotonic()
        mine = Model.objects.filter(pk__in=self.pks, status=self.status)
        if mine.update(progress=n, leased_until=datetime.now(UTC) + LEASE) != len(self.pks):
            raise LeaseLost


def _head(stream_id: int) -> int:
    head = Stream.objects.values_list("head", flat=True).filter(pk=stream_id).first()
    if head is None:
        raise LeaseLost
    return head
