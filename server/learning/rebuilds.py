"""After a retraction a stream's models learn its log anew, without what was retracted; all of them change over at once."""

import logging
import time

from django.db import DatabaseError, InterfaceError
from django.db.models import F, Max, Min

from server.learning import quarantine, replay, snapshots, usage
from server.learning.leases import CLOSE_ENOUGH, LeaseLost, Ticker, TurnOver, head_of, lease, unleased
from server.learning.models import Model, Snapshot
from server.learning.replay import LeftOut
from server.learning.replica import FATAL, Replica, reason
from server.streams.errors import Unavailable
from server.streams.locks import stream_transaction
from server.streams.models import Retraction, Stream

logger = logging.getLogger(__name__)

_under_way: dict[int, "Rebuild"] = {}
"""By stream: the rebuilds that this process has begun, and goes on with when their turn comes."""

MOST_UNDER_WAY = 8
"""Rebuilds that one process has under way: their models are in memory twice."""


def rebuild_after_retractions() -> None:
    """Give each stream's rebuild a turn: those begun before, and those whose models don't leave out yet what was retracted."""
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
        # Asked anew as the lease is taken: another process may have rebuilt them since we looked.
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
    """A stream's models on their way to a new generation.

    Parameters
    ----------
    pks
        The models, which this process has leased.
    retraction
        The newest one that they shall leave out.
    """

    def __init__(self, pks: list[int], retraction: int) -> None:
        self.pks = pks
        self._retraction = retraction
        self._ticker = Ticker(pks, Model.REBUILDING)
        self._built: list[tuple[Model, Replica, LeftOut]] = []

    def take_turn(self) -> None:
        """Fold the log anew, without what was retracted, and put all new generations in the old ones' place at once.

        Raises
        ------
        TurnOver
            If others wait: the next call goes on from here.
        LeaseLost
            If it isn't this process's any more.
        """
        self._ticker.begin()
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
                for model, replica, leaves_out in self._built:
                    replay.feed(replica, model, leaves_out, head_of(self._stream.pk), progress=self._ticker)
                seconds = time.monotonic() - began
            states = [replay.dump(replica) for _, replica, _ in self._built]
        except TurnOver:
            self._ticker.wait()
            raise
        except replay.Unstorable as exc:  # the others are rebuilt without it
            quarantine.stop(exc)
            quarantine.settle(patient=True)
            Model.objects.filter(pk__in=self.pks, status=Model.REBUILDING).update(leased_until=None)
            raise LeaseLost from exc
        self._finish(states)

    def _begun(self, model: Model) -> tuple[Model, Replica, LeftOut]:
        before = Model.objects.get(pk=model.pk)  # whose snapshots before anything newly retracted still hold
        before.stream = self._stream
        model.generation += 1
        model.retraction = self._retraction
        leaves_out = replay.left_out(model)
        model.live_since = self._stream.head + 2**62  # what was logged was of another fold
        # What was retracted before a part of the log went is left out of the snapshot that stands for that part.
        start = max(min(leaves_out.retracted) - 1, self._stream.whole_after)
        replica = snapshots.load(before, self._stream.segment, start)
        replica.generation = model.generation
        return model, replica, leaves_out

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
        # Nobody reads them any more; what an end leaves of them, the next rebuild deletes.
        for model, _, _ in self._built:
            usage.delete_snapshots_in_turns("model_id = %s AND generation < %s ORDER BY id", model.pk, model.generation)
