"""Replica sets: a stream's replicas in this process, loading them, and catching up with the log."""

import logging
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import chain
from typing import Any

from django.conf import settings
from django.db import DatabaseError, InterfaceError

from server.core.errors import Conflict, Gone, NotFound, TailraceError, TooLarge
from server.core.metrics import declarations
from server.core.validation import Checker
from server.learning.budgets import call_marks
from server.learning.budgets.long_calls import LONG
from server.learning.concurrency.combiner import Combiner
from server.learning.concurrency.waiting_threads import PATIENCE, WaitingThreads, slot_to_load
from server.learning.fold import replay, snapshots
from server.learning.fold.estimator_errors import FATAL, BrokenReplica, reason
from server.learning.fold.familiarity import Familiarity
from server.learning.fold.replay import Exclusions
from server.learning.fold.replica import Replica
from server.learning.models import Model
from server.streams import log
from server.streams.models import FeatureName, Stream
from server.streams.text_values import ObservedKinds

_catch_up_observations, _catch_up_seconds = (
    declarations.catch_up_observations.labels(),
    declarations.catch_up_seconds.labels(),
)
logger = logging.getLogger(__name__)

FAR = 100
"""If a replica is this many observations behind the log, catching up may take long."""


class _PredictLock:
    """A context that holds a replica set's lock for predictions. A class, since a generator would be slower."""

    __slots__ = ("_began", "_replicas", "_used")

    def __init__(self, replicas: "ReplicaSet") -> None:
        self._replicas = replicas
        self._began = self._used = 0.0

    def __enter__(self) -> None:
        replicas = self._replicas
        replicas.waiting.enter_if_slow()
        if not replicas.lock.acquire(blocking=False):
            replicas.wait()
        self._began, self._used = time.monotonic(), time.thread_time()

    def __exit__(self, *exc: object) -> None:
        replicas = self._replicas
        seconds, used = time.monotonic() - self._began, time.thread_time() - self._used
        if used > LONG or replicas.waiting.has_long_calls:
            replicas.examine_calls(used)
        if replicas._slot is not None:
            replicas.give_back_slot()
        replicas.lock.release()
        replicas.waiting.record_duration(seconds, used)
        replicas.waiting.leave()


class ReplicaSet:
    """The replicas of all models of one stream.

    Threads that read or change the replicas hold :attr:`lock`. A writer holds it until its transaction has ended, so that
    other threads don't see changes that may be rolled back.
    """

    def __init__(self, stream_id: int) -> None:
        self.stream_id = stream_id
        self.lock = threading.Lock()
        self.epoch = -1
        self.segment: str | None = None
        self.descriptor: str | None = None
        self.replicas: dict[int, Replica] = {}
        self.models: dict[int, Model] = {}
        self.exclusions: dict[int, Exclusions] = {}
        self.load_errors: dict[int, TailraceError] = {}
        """Errors of models that can't be loaded."""
        self.names: set[str] = set()
        """Names of the features that the stream's observations have."""
        self.names_known = False
        self.familiarity: Familiarity | None = None
        """Summary of the stream's features; None if it declares them, and before the first use."""
        self.checker = Checker(None, "any")
        """Checks points against the stream's declaration, once its models are loaded."""
        self.seen = ObservedKinds(stream_id)
        self.writers: Combiner[Any] | None = None
        """Combiner of the threads that write to the stream."""
        self.waiting = WaitingThreads(max(2, settings.TAILRACE.working_threads // 2))
        self.used = time.monotonic()
        self._predict_lock = _PredictLock(self)
        self._slot: ExitStack | None = None
        """The slot for loading models, which the request that holds the lock may hold."""

    @property
    def is_idle(self) -> bool:
        """Whether no thread uses it or waits for it, and the stream doesn't count as slow."""
        writes = self.writers is not None and self.writers.is_busy
        return not (writes or self.lock.locked() or self.waiting.has_any or self.waiting.is_slow)

    def lock_to_predict(self) -> "_PredictLock":
        """Return a context that holds :attr:`lock`, for predictions.

        Raises
        ------
        Unavailable
            If the stream's models are busy for long, and too many threads wait for them.
        """
        return self._predict_lock

    @contextmanager
    def try_lock(self) -> Iterator[bool]:
        """Hold :attr:`lock` for work that can be postponed. Yields whether the lock was acquired in time."""
        held = self.lock.acquire(timeout=PATIENCE)
        try:
            yield held
        finally:
            if held:
                self.lock.release()

    def record_learning(self, seconds: float, used: float) -> None:
        """Record the duration of learning a group of requests, and the CPU time used, s."""
        if used > LONG or self.waiting.has_long_calls:
            self.examine_calls(used)
        self.waiting.record_duration(seconds, used)

    def examine_calls(self, used: float) -> None:
        """Find out whether the models make long calls, after a request that used so many seconds of CPU time."""
        lengths = [
            length for replica in list(self.replicas.values()) for length in (replica.learning, replica.predicting)
        ]
        if used > LONG:
            for length in lengths:
                length.doubt()
        self.waiting.has_long_calls = any(length.is_long for length in lengths)

    def wait(self) -> None:
        """Wait for :attr:`lock`, unless too many threads wait."""
        try:
            self.waiting.start()
            while not self.lock.acquire(timeout=PATIENCE):
                self.waiting.check()
        except BaseException:
            self.waiting.leave()
            raise
        self.waiting.stop_waiting()

    def new_names(self, xs: Iterable[dict[str, Any]]) -> set[str]:
        """Return the names of features that the stream has not seen.

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
                f"the stream's observations would have {len(self.names) + len(new)} features in all: at most {most} are allowed "
                "(TAILRACE_MAX_STREAM_FEATURES)",
                field="x",
            )
        return new

    def catch_up(self, head: int, epoch: int, features: int = 0, *, to_learn: bool = False) -> None:
        """Catch every replica up with observation ``head``. If the epoch is new, load the stream's models first.

        Parameters
        ----------
        head, epoch
            Of the stream's log.
        features
            The most features of a point that comes next.
        to_learn
            Whether the models learn it; else they predict.

        Raises
        ------
        Unavailable
            If that may take long, and too many threads do the same.
        """
        if epoch > self.epoch:
            self.reload(head)
        for replica in self.replicas.values():
            known = (replica.learning if to_learn else replica.predicting).features
            if features > known or head - replica.n > FAR:
                self._take_slot()
                break
        self._catch_up(head)

    def _take_slot(self) -> None:
        """Take a slot for loading models. The request holds it to its end, since the models' first calls may take long, too."""
        if self._slot is None:
            slot = ExitStack()
            slot.enter_context(slot_to_load(self.waiting.owner_id))
            self._slot = slot

    def give_back_slot(self) -> None:
        """Give back the slot for loading models, if the request holds one. The caller holds :attr:`lock`."""
        slot, self._slot = self._slot, None
        if slot is not None:
            slot.close()

    def _catch_up(self, head: int) -> None:
        behind = [replica for replica in self.replicas.values() if replica.n < head]
        if not behind:
            return
        began = time.perf_counter()
        start = min(replica.n for replica in behind)
        try:
            for span in replay.merged_spans(replay.complete_spans(self.stream_id, start, head), replay.CHUNK):
                self.names.update(*span.xs)
                if self.familiarity is not None:
                    self.familiarity.note(span.first, span.xs)
                for replica in behind:
                    self._fold(replica, span, head)
        except Gone:
            # The log no longer has the next observations: these replicas continue from the snapshot that replaces them.
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
        given, skip = replay.logged_outcomes(span, model, self.exclusions[model.pk])
        try:
            replica.advance(span.first, span.xs, span.ys, given, skip, call_marks.REPLAY)
        except BrokenReplica:
            self.rebuild(model.pk, head)

    def reload(self, head: int) -> None:
        """Load the stream's current models. Replicas of the same generation stay.

        Raises
        ------
        Unavailable
            If too many threads load models.
        """
        stream = Stream.objects.filter(pk=self.stream_id).first()
        if stream is None:
            raise NotFound("the stream was deleted")
        self.waiting.owner_id = stream.owner_id
        self._take_slot()
        live = Model.objects.filter(stream=stream, status__in=(Model.READY, Model.REBUILDING)).order_by("pk")
        models = {model.pk: model for model in live}
        replicas = {}
        self.load_errors = {}
        for pk, model in models.items():
            replica = self.replicas.get(pk)
            if replica is None or replica.generation != model.generation:
                try:
                    replica = snapshots.load(model, stream.segment, head)
                except (*FATAL, DatabaseError, InterfaceError):
                    raise
                except BaseException as exc:  # the others learn without it
                    self._record_load_error(model, exc)
                    continue
            replicas[pk] = replica
        models = {pk: models[pk] for pk in replicas}
        self.segment, self.descriptor = stream.segment, stream.descriptor
        self.checker = Checker(stream.features, stream.target_kind)
        self.models, self.replicas = models, replicas
        self.exclusions = {pk: replay.exclusions_of(model) for pk, model in models.items()}
        if not self.names_known:
            self.names.update(FeatureName.objects.filter(stream=stream).values_list("name", flat=True))
            self.names_known = True
        if stream.features is None and self.familiarity is None:
            self.familiarity = Familiarity(stream.pk, ranged=stream.descriptor is None)
        self.epoch = stream.epoch
        self.examine_calls(0.0)

    def _record_load_error(self, model: Model, exc: BaseException) -> None:
        """Record why a model can't be loaded."""
        if not isinstance(exc, Gone):
            exc = Conflict(
                f"model {model.name} can't be loaded ({reason(exc)}): check the server's log, and create the model again",
                code="not_loadable",
            )
        logger.error("model %s can't be loaded: %s", model.name, exc)
        self.load_errors[model.pk] = exc

    def drop(self) -> None:
        """Drop all replicas. The next use rebuilds them from snapshots and the log."""
        self.replicas, self.models, self.exclusions = {}, {}, {}
        self.names, self.names_known = set(), False
        self.checker.forget()  # the object stays, since threads use it without the lock
        self.seen = ObservedKinds(self.stream_id)
        self.epoch = -1

    def rebuild(self, model_id: int, head: int) -> Replica:
        """Replace a broken replica by one at ``head``, rebuilt from the committed log. Return it."""
        model = self.models[model_id]
        replica = snapshots.load(model, self.segment, head)
        self.replicas[model_id] = replica
        replay.fold_log(replica, self.models[model_id], self.exclusions[model_id], head)
        return replica


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
        if self._sets.get(stream_id) is not found:  # it was removed before ``used`` was set
            return self.of(stream_id)
        return found

    def forget(self, stream_id: int, quiet: float) -> bool:
        """Remove a stream's set if it is idle and unused for ``quiet`` seconds. Return whether it is removed.

        Two threads never use different sets of a stream by a race: :meth:`of` sets ``used`` and then checks that the set is
        still present; this method removes the set and then checks ``used``. A thread that comes back to a removed set after
        ``quiet`` seconds behaves like another process: it catches up with the log, under the stream's lock.
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
