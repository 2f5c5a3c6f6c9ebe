"""Backfills: new models learn their stream's history."""

import logging
import time

from django.db import DatabaseError, InterfaceError
from django.db.models import F

from server.core.db.locks import stream_transaction
from server.core.errors import Unavailable
from server.learning.background.leases import CLOSE_ENOUGH, LeaseKeeper, LeaseLost, TurnOver, head_of, lease, unleased
from server.learning.fold import replay, snapshots
from server.learning.fold.estimator_errors import FATAL, reason
from server.learning.models import Model
from server.streams.models import Stream

logger = logging.getLogger(__name__)

MOST_WAITING = 1000
_turns: dict[int, float] = {}
"""By model: when its backfill had its last turn in this process."""


def work_on_backfills() -> None:
    """Lease a backfill that no process works on, and give it a turn."""
    waiting = Model.objects.filter(status=Model.BACKFILLING).filter(unleased()).order_by("pk")
    pks = list(waiting.values_list("pk", flat=True)[:MOST_WAITING])
    # The one whose last turn is longest ago comes first, so that a slow backfill doesn't delay the others.
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
    """Let a new model learn its stream's history, and then serve. It stops when its turn is over and others wait."""
    replica = snapshots.load(model, model.stream.segment, model.stream.head)
    exclusions = replay.exclusions_of(model)
    lease_keeper = LeaseKeeper([model.pk], Model.BACKFILLING)
    try:
        lease_keeper.begin()
        seconds = CLOSE_ENOUGH
        while seconds >= CLOSE_ENOUGH:
            began = time.monotonic()
            replay.fold_log(replica, model, exclusions, head_of(model.stream_id), progress=lease_keeper)
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
        if done:  # else it was quarantined meanwhile, and skips the observations since then
            snapshots.add(model.pk, model.generation, replica.n, state)
            Stream.objects.filter(pk=model.stream_id).update(epoch=F("epoch") + 1)
