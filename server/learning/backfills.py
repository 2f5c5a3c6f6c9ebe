"""New models learn their stream's history."""

import logging
import time

from django.db import DatabaseError, InterfaceError
from django.db.models import F

from server.learning import replay, snapshots
from server.learning.leases import CLOSE_ENOUGH, LeaseLost, Ticker, TurnOver, head_of, lease, unleased
from server.learning.models import Model
from server.learning.replica import FATAL, reason
from server.streams.errors import Unavailable
from server.streams.locks import stream_transaction
from server.streams.models import Stream

logger = logging.getLogger(__name__)

MOST_WAITING = 1000
_turns: dict[int, float] = {}
"""When each backfill had its last turn in this process."""


def work_on_backfills() -> None:
    """Take over a backfill that nobody works on, and do it."""
    waiting = Model.objects.filter(status=Model.BACKFILLING).filter(unleased()).order_by("pk")
    pks = list(waiting.values_list("pk", flat=True)[:MOST_WAITING])
    # Whoever had a turn last comes last: a slow one lets the others through.
    pk = min(pks, key=lambda pk: _turns.get(pk, 0.0), default=None)
    if len(_turns) > MOST_WAITING:
        for gone in _turns.keys() - set(pks):
            del _turns[gone]
    model = None if pk is None else waiting.select_related("stream").filter(pk=pk).first()
    if model is None or not lease(Model.objects.filter(pk=model.pk, status=Model.BACKFILLING), 1):
        return
    _turns[model.pk] = time.monotonic()
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
    leaves_out = replay.left_out(model)
    ticker = Ticker([model.pk], Model.BACKFILLING)
    try:
        ticker.begin()
        seconds = CLOSE_ENOUGH
        while seconds >= CLOSE_ENOUGH:
            began = time.monotonic()
            replay.feed(replica, model, leaves_out, head_of(model.stream_id), progress=ticker)
            seconds = time.monotonic() - began
    except TurnOver:
        state = replay.dump(replica)
        with stream_transaction(model.stream_id, patient=True):
            if Model.objects.filter(pk=model.pk, status=Model.BACKFILLING).update(leased_until=None):
                snapshots.add(model.pk, model.generation, replica.n, state)
        return
    state = replay.dump(replica)
    with stream_transaction(model.stream_id, patient=True):
        head = head_of(model.stream_id)
        done = Model.objects.filter(pk=model.pk, status=Model.BACKFILLING).update(
            status=Model.READY, progress=head, live_since=head, leased_until=None
        )
        if done:  # else it was stopped meanwhile, and skips what came since then
            snapshots.add(model.pk, model.generation, replica.n, state)
            Stream.objects.filter(pk=model.stream_id).update(epoch=F("epoch") + 1)
