"""Stored replicas: written off the request path, read at a start, never trusted to be readable."""

import logging
import platform
from importlib.metadata import version

import numpy
import river
from django.db import DatabaseError, IntegrityError, InterfaceError
from django.db.models import F

from server.learning import replay
from server.learning.models import Model, Snapshot
from server.learning.replica import FATAL, Replica
from server.streams import retention
from server.streams.locks import transaction_for_writing
from server.streams.models import Stream

logger = logging.getLogger(__name__)

KEPT = 24
"""Snapshots kept of one generation: enough that any past state is a short replay away."""

VERSIONS = (
    f"tailrace {version('tailrace')}, river {river.__version__}, numpy {numpy.__version__}, "
    f"python {platform.python_version()}"
)


def load(model: Model, segment: str | None, upto: int) -> Replica:
    """The newest readable replica of ``model`` at or before observation ``upto``; the initial state if none is.

    Raises
    ------
    Gone
        If the log isn't whole from there on, so that nothing could be made of the initial state.
    """
    name, whole_after = Stream.objects.values_list("name", "whole_after").get(pk=model.stream_id)
    least = whole_after if model.since < whole_after else 0
    if upto < least:
        raise retention.gone(name, whole_after, f"model {model.name} can't be had as of {upto}, but from {least} on")
    stored = Snapshot.objects.filter(model=model, generation=model.generation, seq__lte=upto, seq__gte=least)
    stored = stored.order_by("-seq")
    for pk in list(stored.values_list("pk", flat=True)):
        snapshot = Snapshot.objects.filter(pk=pk).first()
        if snapshot is None:
            continue
        replica = replay.fresh(model, segment)
        try:
            replica.restore(snapshot.seq, replay.load(model.pk, bytes(snapshot.state), replay.trusted(model.flavor)))
        except (*FATAL, DatabaseError, InterfaceError):
            raise
        except BaseException as exc:  # a snapshot is only a short cut: whatever is wrong with it, the log remains
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
            f"model {model.name} needs its snapshot at {least}, which can't be read: serve with the version that wrote it, or "
            "restore a backup",
        )
    return replay.fresh(model, segment)


def store(model_id: int, generation: int, seq: int, state: bytes) -> None:
    """Write a snapshot, and thin the older ones out."""
    try:
        with transaction_for_writing():
            add(model_id, generation, seq, state)
    except IntegrityError:
        pass  # another process wrote the same one, or the model is gone


def add(model_id: int, generation: int, seq: int, state: bytes) -> None:
    """The same inside the caller's transaction."""
    if not Model.objects.filter(pk=model_id, generation=generation).exists():
        return
    Snapshot.objects.update_or_create(
        model_id=model_id, generation=generation, seq=seq, defaults={"state": state, "versions": VERSIONS}
    )
    stored = Snapshot.objects.filter(model_id=model_id, generation=generation)
    # The one that stands for what isn't kept of the log is kept for ever.
    seqs = list(stored.exclude(seq=F("model__stream__whole_after")).order_by("seq").values_list("seq", flat=True))
    Snapshot.objects.filter(model_id=model_id, generation=generation, seq__in=superfluous(seqs)).delete()


def superfluous(seqs: list[int]) -> list[int]:
    """Which of the snapshots to drop so that :data:`KEPT` remain, spread evenly over the stream.

    The newest three always stay; of the others the one goes whose two neighbours are closest together.
    """
    seqs, dropped = list(seqs), []
    while len(seqs) > KEPT:
        gaps = [(seqs[n + 1] - (seqs[n - 1] if n else 0), n) for n in range(len(seqs) - 3)]
        dropped.append(seqs.pop(min(gaps)[1]))
    return dropped
