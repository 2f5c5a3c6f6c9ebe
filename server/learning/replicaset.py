"""A stream's replicas in this process, and how they follow the log."""

import logging
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any

from django.conf import settings
from django.db import DatabaseError, InterfaceError

from server.learning import call_marks, replay, snapshots
from server.learning.combining import Combiner
from server.learning.familiarity import Familiarity
from server.learning.models import Model
from server.learning.replay import LeftOut
from server.learning.replica import FATAL, Broken, Replica, reason
from server.learning.waiters import PATIENCE, Waiters, room_to_load
from server.streams import instruments, log
from server.streams.errors import Conflict, Gone, NotFound, TailraceError, TooLarge
from server.streams.models import FeatureName, Stream
from server.streams.validation import Checker
from server.streams.written import Seen

_catch_up_observations, _catch_up_seconds = instruments.catch_up_observations.of(), instruments.catch_up_seconds.of()
logger = logging.getLogger(__name__)

FAR = 100
"""Observations that a replica is behind from which on it may take long to catch up."""


class _Asked:
    """A set's lock, held to ask: entered with every prediction, which a generator would be slower for."""

    __slots__ = ("_began", "_replicas", "_used")

    def __init__(self, replicas: "ReplicaSet") -> None:
        self._replicas = replicas
        self._began = self._used = 0.0

    def __enter__(self) -> None:
        replicas = self._replicas
        replicas.waiters.join_if_slow()
        if not replicas.lock.acquire(blocking=False):
            replicas.wait()
        self._began, self._used = time.monotonic(), time.thread_time()

    def __exit__(self, *exc: object) -> None:
        waiters = self._replicas.waiters
        seconds, used = time.monotonic() - self._began, time.thread_time() - self._used
        self._replicas.lock.release()
        waiters.took(seconds, used)
        waiters.leave()


class ReplicaSet:
    """All models of one stream, at one observation number.

    Whoever reads or changes the replicas holds :attr:`lock`. A writer holds it until its transaction has ended, so
    nobody sees what may yet be rolled back.
    """

    def __init__(self, stream_id: int) -> None:
        self.stream_id = stream_id
        self.lock = threading.Lock()
        self.epoch = -1
        self.segment: str | None = None
        self.descriptor: str | None = None
        self.replicas: dict[int, Replica] = {}
        self.models: dict[int, Model] = {}
        self.left_out: dict[int, LeftOut] = {}
        self.lost: dict[int, TailraceError] = {}
        """Models that can't be had, and why."""
        self.names: set[str] = set()
        """Of the features that the stream's observations have."""
        self.names_known = False
        self.familiarity: Familiarity | None = None
        """What the stream has seen; None where it declares its features, and before anything is asked of it."""
        self.checker = Checker(None, "any")
        """Of what the stream declares, once its models were loaded."""
        self.seen = Seen(stream_id)
        self.writers: Combiner[Any] | None = None
        """Where those who write to the stream wait together."""
        self.waiters = Waiters(max(2, settings.TAILRACE.working_threads // 2))
        self.used = time.monotonic()
        self._asked = _Asked(self)

    @property
    def is_idle(self) -> bool:
        """Whether nobody works with it or waits to, and nothing is to be remembered of how long that took."""
        writes = self.writers is not None and self.writers.is_busy
        return not (writes or self.lock.locked() or self.waiters.has_any or self.waiters.is_slow)

    def to_ask(self) -> "_Asked":
        """Hold :attr:`lock` to ask a replica something.

        Raises
        ------
        Unavailable
            If the stream's models are busy for long, and too many wait for them.
        """
        return self._asked

    @contextmanager
    def briefly(self) -> Iterator[bool]:
        """Hold :attr:`lock` for work that can be done another time, if it can be had soon; whether it could be."""
        held = self.lock.acquire(timeout=PATIENCE)
        try:
            yield held
        finally:
            if held:
                self.lock.release()

    def wait(self) -> None:
        """Wait for :attr:`lock`, unless too many do."""
        try:
            self.waiters.enter()
            while not self.lock.acquire(timeout=PATIENCE):
                self.waiters.check()
        except BaseException:
            self.waiters.leave()
            raise
        self.waiters.wait_no_longer()

    def new_names(self, xs: Iterable[dict[str, Any]]) -> set[str]:
        """The names of features that the stream has not seen.

        Raises
        ------
        TooLarge
            If the stream would have too many.
        """
        if self.names.issuperset(chain.from_iterable(xs)):
            return set()
        new = set(chain.from_iterable(xs)) - self.names
        most = settings.TAILRACE.max_stream_features
        if len(self.names) + len(new) > most:
            raise TooLarge(
                f"the stream's observations would have {len(self.names) + len(new)} features in all: the most allowed is {most} "
                "(TAILRACE_MAX_STREAM_FEATURES)",
                field="x",
            )
        return new

    def follow(self, head: int, epoch: int) -> None:
        """Bring every replica to observation ``head``, after a look at which models there are if that changed.

        Raises
        ------
        Unavailable
            If that may take long, and many others do the same.
        """
        if epoch > self.epoch or any(head - replica.n > FAR for replica in self.replicas.values()):
            with room_to_load():
                self._follow(head, epoch)
        else:
            self._follow(head, epoch)

    def _follow(self, head: int, epoch: int) -> None:
        if epoch > self.epoch:
            self._reload(head)
        behind = [replica for replica in self.replicas.values() if replica.n < head]
        if not behind:
            return
        began = time.perf_counter()
        start = min(replica.n for replica in behind)
        try:
            for span in replay.merged(replay.whole(self.stream_id, start, head), replay.CHUNK):
                self.names.update(*span.xs)
                if self.familiarity is not None:
                    self.familiarity.note(span.first, span.xs)
                for replica in behind:
                    self._fold(replica, span, head)
        except Gone:
            # What these replicas had not learned yet isn't kept: they go on from the snapshot that stands for it.
            for replica in behind:
                self.rebuild(replica.model_id, head)
        _catch_up_observations.observe(head - start)
        _catch_up_seconds.observe(time.perf_counter() - began)

    def _fold(self, replica: Replica, span: log.Span, head: int) -> None:
        if replica.n >= span.last or self.replicas.get(replica.model_id) is not replica:
            return
        if replica.n >= span.first:
            span = log.cut(span, replica.n, None)
        model = self.models[replica.model_id]
        given, skip = replay.known(span, model, self.left_out[model.pk])
        try:
            replica.advance(span.first, span.xs, span.ys, given, skip, call_marks.REPLAY)
        except Broken:
            self.rebuild(model.pk, head)

    def reload(self, head: int) -> None:
        """Take up the stream's present models; replicas of the same generation stay as they are.

        Raises
        ------
        Unavailable
            If many others do so.
        """
        with room_to_load():
            self._reload(head)

    def _reload(self, head: int) -> None:
        stream = Stream.objects.filter(pk=self.stream_id).first()
        if stream is None:
            raise NotFound("the stream was deleted")
        self.waiters.owner_id = stream.owner_id
        live = Model.objects.filter(stream=stream, status__in=(Model.READY, Model.REBUILDING)).order_by("pk")
        models = {model.pk: model for model in live}
        replicas = {}
        self.lost = {}
        for pk, model in models.items():
            replica = self.replicas.get(pk)
            if replica is None or replica.generation != model.generation:
                try:
                    replica = snapshots.load(model, stream.segment, head)
                except (*FATAL, DatabaseError, InterfaceError):
                    raise
                except BaseException as exc:  # the others learn on without it
                    self._lose(model, exc)
                    continue
            replicas[pk] = replica
        models = {pk: models[pk] for pk in replicas}
        self.segment, self.descriptor = stream.segment, stream.descriptor
        self.checker = Checker(stream.features, stream.target_kind)
        self.models, self.replicas = models, replicas
        self.left_out = {pk: replay.left_out(model) for pk, model in models.items()}
        if not self.names_known:
            self.names.update(FeatureName.objects.filter(stream=stream).values_list("name", flat=True))
            self.names_known = True
        if stream.features is None and self.familiarity is None:
            self.familiarity = Familiarity(stream.pk, ranged=stream.descriptor is None)
        self.epoch = stream.epoch

    def _lose(self, model: Model, exc: BaseException) -> None:
        """Do without a model that can't be had."""
        if not isinstance(exc, Gone):
            exc = Conflict(
                f"model {model.name} can't be loaded ({reason(exc)}): look at the server's log, and make the model anew",
                code="not_loadable",
            )
        logger.error("model %s can't be had: %s", model.name, exc)
        self.lost[model.pk] = exc

    def drop(self) -> None:
        """Forget everything: the next use rebuilds it from snapshots and log."""
        self.replicas, self.models, self.left_out = {}, {}, {}
        self.names, self.names_known = set(), False
        self.checker.forget()  # it stays: threads check with it, who don't hold the lock
        self.seen = Seen(self.stream_id)
        self.epoch = -1

    def rebuild(self, model_id: int, head: int) -> Replica:
        """A replica of the model at ``head`` from what is committed, in place of one that broke."""
        model = self.models[model_id]
        replica = snapshots.load(model, self.segment, head)
        self.replicas[model_id] = replica
        replay.feed(replica, self.models[model_id], self.left_out[model_id], head)
        return replica

    def replica(self, model_id: int) -> Replica | None:
        return self.replicas.get(model_id)


class ReplicaSets:
    """This process's replica sets, by stream."""

    def __init__(self) -> None:
        self._sets: dict[int, ReplicaSet] = {}
        self._lock = threading.Lock()

    def of(self, stream_id: int) -> ReplicaSet:
        found = self._sets.get(stream_id)
        if found is None:
            with self._lock:
                found = self._sets.setdefault(stream_id, ReplicaSet(stream_id))
        found.used = time.monotonic()
        if self._sets.get(stream_id) is not found:  # it was forgotten before it could be told that it is used
            return self.of(stream_id)
        return found

    def forget(self, stream_id: int, quiet: float) -> bool:
        """Forget a stream's set if it is idle and nobody has asked for it in so many seconds; whether it is forgotten.

        Nobody who asks at the same time is left with a set that another thread doesn't find: :meth:`of` says that a set is
        used and then looks whether it is still here; this takes it out and then looks whether it is used. A thread that asked
        before and comes back to it after ``quiet`` seconds does as another process would: it follows the log, under the
        stream's lock.
        """
        before = time.monotonic() - quiet
        with self._lock:
            found = self._sets.get(stream_id)
            if found is None or found.used > before or not found.is_idle:
                return False
            del self._sets[stream_id]
            if found.used > before:
                self._sets[stream_id] = found
                return False
        return True

    def all(self) -> list[ReplicaSet]:
        with self._lock:
            return list(self._sets.values())

    def clear(self) -> None:
        with self._lock:
            self._sets.clear()


SETS = ReplicaSets()
