"""A stream's replicas in this process, and how they follow the log."""

import logging
import threading
import time

from server.learning import replay, snapshots
from server.learning.models import Model
from server.learning.replica import Broken, Replica
from server.streams import instruments, log
from server.streams.errors import Gone, NotFound
from server.streams.models import Stream
from server.streams.validation import Checker

_catch_up_observations, _catch_up_seconds = instruments.catch_up_observations.of(), instruments.catch_up_seconds.of()
logger = logging.getLogger(__name__)


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
        self.retracted: dict[int, dict[int, str]] = {}
        self.lost: dict[int, Gone] = {}
        """Models that can't be had, and why."""
        self.used = 0.0

    def follow(self, head: int, epoch: int) -> None:
        """Bring every replica to observation ``head``, after a look at which models there are if that changed."""
        if epoch > self.epoch:
            self.reload(head)
        behind = [replica for replica in self.replicas.values() if replica.n < head]
        if not behind:
            return
        began = time.perf_counter()
        start = min(replica.n for replica in behind)
        try:
            for span in replay.merged(replay.whole(self.stream_id, start, head), replay.CHUNK):
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
        given, skip = replay.known(span, model, self.retracted[model.pk])
        try:
            replica.advance(span.first, span.xs, span.ys, given, skip)
        except Broken:
            self.rebuild(model.pk, head)

    def reload(self, head: int) -> None:
        """Take up the stream's present models; replicas of the same generation stay as they are."""
        stream = Stream.objects.filter(pk=self.stream_id).first()
        if stream is None:
            raise NotFound("the stream was deleted")
        live = Model.objects.filter(stream=stream, status__in=(Model.READY, Model.REBUILDING)).order_by("pk")
        models = {model.pk: model for model in live}
        replicas = {}
        self.lost = {}
        for pk, model in models.items():
            replica = self.replicas.get(pk)
            if replica is None or replica.generation != model.generation:
                try:
                    replica = snapshots.load(model, stream.segment, head)
                except Gone as exc:  # the others learn on without it
                    logger.error("%s", exc)
                    self.lost[pk] = exc
                    continue
            replicas[pk] = replica
        models = {pk: models[pk] for pk in replicas}
        self.segment, self.descriptor = stream.segment, stream.descriptor
        self.checker = Checker(stream.features, stream.target_kind)
        self.models, self.replicas = models, replicas
        self.retracted = {pk: replay.left_out(model) for pk, model in models.items()}
        self.epoch = stream.epoch

    def drop(self) -> None:
        """Forget everything: the next use rebuilds it from snapshots and log."""
        self.replicas, self.models, self.retracted = {}, {}, {}
        self.epoch = -1

    def rebuild(self, model_id: int, head: int) -> Replica:
        """A replica of the model at ``head`` from what is committed, in place of one that broke."""
        model = self.models[model_id]
        replica = snapshots.load(model, self.segment, head)
        self.replicas[model_id] = replica
        replay.feed(replica, self.models[model_id], self.retracted[model_id], head)
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
        return found

    def all(self) -> list[ReplicaSet]:
        with self._lock:
            return list(self._sets.values())

    def clear(self) -> None:
        with self._lock:
            self._sets.clear()


SETS = ReplicaSets()
