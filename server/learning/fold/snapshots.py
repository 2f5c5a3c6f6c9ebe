"""Snapshots: stored replicas. Maintenance writes them; if one can't be read, an older one or the log is used."""

import logging
import platform
from importlib.metadata import version

import numpy
import river
from django.db import DatabaseError, IntegrityError, InterfaceError
from django.db.models import F

from server.core.db.locks import transaction_for_writing
from server.learning.fold import replay
from server.learning.fold.estimator_errors import FATAL
from server.learning.fold.replica import Replica
from server.learning.models import Model, Snapshot
from server.streams import retention
from server.streams.models import Stream

logger = logging.getLogger(__name__)

KEPT = 24
"""Snapshots kept of one generation, so that any past state needs a short replay only."""

VERSIONS = (
    f"tailrace {version('tailrace')}, river {river.__version__}, numpy {numpy.__version__}, "
    f"python {platform.python_version()}"
)


def load(model: Model, segment: str | None, upto: int) -> Replica:
    """Return the newest readable replica of ``model`` at or before observation ``upto``; the initial state if there is none.

    Raises
    ------
    Gone
        If there is none and the log is not complete from the initial state on.
    """
    name, whole_after = Stream.objects.values_list("name", "whole_after").get(pk=model.stream_id)
    least = whole_after if model.since < whole_after else 0
    if upto < least:
        raise retention.gone(
            name, whole_after, f"model {model.name} is available from observation {least} on, not as of {upto}"
        )
    stored = Snapshot.objects.filter(model=model, generation=model.generation, seq__lte=upto, seq__gte=least)
    stored = stored.order_by("-seq")
    for pk in list(stored.values_list("pk", flat=True)):
        snapshot = Snapshot.objects.filter(pk=pk).first()
        if snapshot is None:
            continue
        replica = replay.initial_replica(model, segment)
        try:
            replica.restore(snapshot.seq, replay.load(model.pk, bytes(snapshot.state), replay.trusted(model.flavor)))
        except (*FATAL, DatabaseError, InterfaceError):
            raise
        except BaseException as exc:  # the log has the same information, whatever is wrong with the snapshot
            logger.warning(
                "snapshot of model %s at %d, written with %s, can't be read (%s: %s): using an older one or the log",
                model.name, snapshot.seq, snapshot.versions, type(exc).__name__, exc,
            )  # fmt: skip
            continue
        replica.size, replica.snapshot_at = len(snapshot.state), snapshot.at
        return replica
    if least:
        raise retention.gone(
            name,
            whole_after,
            f"model {model.name} needs its snapshot at {least}, which can't be read: run the server version that wrote it, or "
            "restore a backup",
        )
    return replay.initial_replica(model, segment)


def around(model: Model, began: int, at: int) -> list[int]:
    """Return the observations nearest to ``at`` whose states need no replay: where the replay began, and the next after ``at``."""
    later = Snapshot.objects.filter(model=model, generation=model.generation, seq__gt=at).order_by("seq")
    return [began, *later.values_list("seq", flat=True)[:1]]


def store(model_id: int, generation: int, seq: int, state: bytes) -> None:
    """Write a snapshot, and delete superfluous older ones."""
    try:
        with transaction_for_writing():
            add(model_id, generation, seq, state)
    except IntegrityError:
        pass  # another process wrote the same one, or the model was deleted


def add(model_id: int, generation: int, seq: int, state: bytes) -> None:
    """As :func:`store`, within the caller's transaction."""
    if not Model.objects.filter(pk=model_id, generation=generation).exists():
        return
    Snapshot.objects.update_or_create(
        model_id=model_id, generation=generation, seq=seq, defaults={"state": state, "versions": VERSIONS}
    )
    stored = Snapshot.objects.filter(model_id=model_id, generation=generation)
    # The snapshot that replaces a deleted part of the log is permanent.
    seqs = list(stored.exclude(seq=F("model__stream__whole_after")).order_by("seq").values_list("seq", flat=True))
    Snapshot.objects.filter(model_id=model_id, generation=generation, seq__in=superfluous(seqs)).delete()


def superfluous(seqs: list[int]) -> list[int]:
    """Return the snapshots to delete so that :data:`KEPT` remain, spread evenly over the stream.

    The newest three always stay. Of the others, the one whose two neighbours are closest together is deleted first.
    """
    seqs, dropped = list(seqs), []
    while len(seqs) > KEPT:
        gaps = [(seqs[n + 1] - (seqs[n - 1] if n else 0), n) for n in range(len(seqs) - 3)]
        dropped.append(seqs.pop(min(gaps)[1]))
    return dropped
