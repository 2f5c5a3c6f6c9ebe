"""Rebuilds: after a retraction, a stream's models learn its log again without the retracted observations.

All models of the stream switch to their new generation at once.
"""

import logging
import time

from django.db import DatabaseError, InterfaceError
from django.db.models import F, Max, Min

from server.core.db.locks import stream_transaction
from server.core.errors import Unavailable
from server.learning import quarantine, quota_counts
from server.learning.background.leases import CLOSE_ENOUGH, LeaseKeeper, LeaseLost, TurnOver, head_of, lease, unleased
from server.learning.fold import replay, snapshots
from server.learning.fold.estimator_errors import FATAL, reason
from server.learning.fold.replay import Exclusions
from server.learning.fold.replica import Replica
from server.learning.models import Model, Snapshot
from server.streams.models import Retraction, Stream

logger = logging.getLogger(__name__)

_under_way: dict[int, "Rebuild"] = {}
"""By stream: the rebuilds that this process has begun and continues in turns."""

MOST_UNDER_WAY = 8
"""Most rebuilds in progress in one process: their models are in memory twice."""


def rebuild_after_retractions() -> None:
    """Give each rebuild a turn: those in progress, and those of streams whose models include a retracted observation."""
    for stream_id in list(_under_way):
        _go_on(stream_id)
    newest = dict(Retraction.objects.values_list("stream").annotate(last=Max("pk")).order_by())
    if not newest:
        return
    live = Model.objects.filter(status__in=(Model.READY, Model.REBUILDING))
    for stream_id, oldest in live.values_list("stream").annotate(oldest=Min("retraction")).order_by():
        last = newest.get(stream_id, 0)
        if len(_under_way) >= MOST_UNDER_WAY:
            return
        if oldest >= last or stream_id in _under_way:
            continue
        # Queried again with the lease, because another process may have rebuilt them since the query above.
        behind = live.filter(stream=stream_id, retraction__lt=last)
        pks = list(behind.filter(unleased()).values_list("pk", flat=True))
        if not lease(behind.filter(pk__in=pks), len(pks), status=Model.REBUILDING, progress=0):
            continue
        _under_way[stream_id] = Rebuild(pks, last)
        _go_on(stream_id)


def _go_on(stream_id: int) -> None:
    rebuild = _under_way.pop(stream_id)
    try:
        rebuild.take_turn()
    except TurnOver:
        _under_way[stream_id] = rebuild
    except LeaseLost:
        logger.info("the rebuild of stream %s goes on elsewhere", stream_id)
    except (DatabaseError, InterfaceError, Unavailable, *FATAL):
        raise
    except BaseException as exc:
        logger.exception("the rebuild of stream %s failed: it is tried again when its lease ends", stream_id)
        Model.objects.filter(pk__in=rebuild.pks, status=Model.REBUILDING).update(error=reason(exc))


class Rebuild:
    """The rebuild of a stream's models as a new generation.

    Parameters
    ----------
    pks
        The models, which this process has leased.
    retraction
        Id of the newest retraction to leave out.
    """

    def __init__(self, pks: list[int], retraction: int) -> None:
        self.pks = pks
        self._retraction = retraction
        self._lease = LeaseKeeper(pks, Model.REBUILDING)
        self._built: list[tuple[Model, Replica, Exclusions]] = []

    def take_turn(self) -> None:
        """Fold the log without the retracted observations, and then replace all models by their new generation at once.

        Raises
        ------
        TurnOver
            If others wait. The next call continues from here.
        LeaseLost
            If this process has lost the lease.
        """
        self._lease.begin()
        if not self._built:
            models = list(Model.objects.filter(pk__in=self.pks).select_related("stream").order_by("pk"))
            if len(models) != len(self.pks):
                raise LeaseLost
            self._stream = models[0].stream
            self._built = [self._begun(model) for model in models]
        seconds = CLOSE_ENOUGH
        try:
            while seconds >= CLOSE_ENOUGH:
                began = time.monotonic()
                for model, replica, exclusions in self._built:
                    replay.fold_log(replica, model, exclusions, head_of(self._stream.pk), progress=self._lease)
                seconds = time.monotonic() - began
            states = [replay.dump(replica) for _, replica, _ in self._built]
        except TurnOver:
            self._lease.wait()
            raise
        except replay.Unstorable as exc:  # the others are rebuilt without it
            quarantine.stop(exc)
            quarantine.settle(patient=True)
            Model.objects.filter(pk__in=self.pks, status=Model.REBUILDING).update(leased_until=None)
            raise LeaseLost from exc
        self._finish(states)

    def _begun(self, model: Model) -> tuple[Model, Replica, Exclusions]:
        before = Model.objects.get(
            pk=model.pk
        )  # its snapshots before the first newly retracted observation are still valid
        before.stream = self._stream
        model.generation += 1
        model.retraction = self._retraction
        exclusions = replay.exclusions_of(model)
        model.live_since = self._stream.head + 2**62  # all logged predictions are of another fold
        # The snapshot that replaces a deleted part of the log leaves out what was retracted from that part.
        start = max(min(exclusions.retracted) - 1, self._stream.whole_after)
        replica = snapshots.load(before, self._stream.segment, start)
        replica.generation = model.generation
        return model, replica, exclusions

    def _finish(self, states: list[bytes]) -> None:
        stream = self._stream
        with stream_transaction(stream.pk, patient=True):
            head = head_of(stream.pk)
            for (model, replica, _), state in zip(self._built, states, strict=True):
                done = Model.objects.filter(
                    pk=model.pk, generation=model.generation - 1, status=Model.REBUILDING
                ).update(
                    status=Model.READY,
                    generation=model.generation,
                    retraction=self._retraction,
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
                snapshots.add(model.pk, model.generation, replica.n, state)
            Stream.objects.filter(pk=stream.pk).update(epoch=F("epoch") + 1)
        # Snapshots of former generations are not used any more. If the process ends here, the next rebuild deletes the rest.
        for model, _, _ in self._built:
            quota_counts.delete_snapshots_in_turns(
                "model_id = %s AND generation < %s ORDER BY id", model.pk, model.generation
            )
