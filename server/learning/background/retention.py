"""Retention: deletes or thins out the first part of a log. A permanent snapshot of each model replaces that part."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.db.models import F, Max

from server.core import audit_signals
from server.core.db.locks import stream_transaction
from server.core.errors import Conflict, Invalid
from server.learning.concurrency.time_limit import TimeLimit
from server.learning.fold import familiarity, replay, snapshots
from server.learning.fold.estimator_errors import DeadlineExceeded, reason
from server.learning.models import Model, Snapshot
from server.learning.pickles import loader
from server.learning.records import storing
from server.streams import retention
from server.streams.models import Retraction, Stream

LEAST_THINNING = 2


@dataclass
class Plan:
    """The part of a stream's log to delete or thin out.

    Attributes
    ----------
    stream
        The stream.
    upto
        The last observation of the part.
    every
        Observations whose number is a multiple of this stay; None: none stay.
    states
        Model id to (generation, stored state after ``upto``), of the models that learned observations of the part.
    """

    stream: Stream
    upto: int
    every: int | None
    states: dict[int, tuple[int, bytes]] = field(default_factory=dict)

    @property
    def loses(self) -> bool:
        """Whether observations are deleted from a part of the log that is complete."""
        return self.upto > self.stream.whole_after


def plan(stream: Stream, upto: int, every: int | None) -> Plan:
    """Check a request and return its plan. Nothing is changed.

    Raises
    ------
    Invalid
        If there are no such observations, or none would be left.
    Conflict
        If a model of the stream is not ready, or has not been rebuilt after a retraction.
    """
    if every is not None and every < LEAST_THINNING:
        raise Invalid(
            f"thin is {every}: expected {LEAST_THINNING} or more, to keep every Nth observation", field="thin"
        )
    if not 1 <= upto < stream.head:
        raise Invalid(
            f"can't delete observations up to {upto} of stream {stream.name}: expected a number from 1 to {stream.head - 1}, "
            f"since the last of the {stream.head} observations stays",
            field="before",
        )
    found = Plan(stream, upto, every)
    _models(found)
    return found


def carry_out(
    found: Plan,
    progress: Callable[[int], None] | None = None,
    limit: TimeLimit | None = None,
    otherwise: str = "",
) -> int:
    """Carry out a plan: store the models' snapshots in one transaction, then shorten the log in many.

    If interrupted, run it again to finish.

    Parameters
    ----------
    found
        The plan.
    progress
        Called with the number that was reached while the log is shortened.
    limit
        Time for the replay of the models up to the end of the part; None: any.
    otherwise
        What to do if that is over.

    Returns
    -------
    int
        Number of log rows that were changed or deleted.

    Raises
    ------
    Conflict
        If a model's state can't be stored, or the stream or its models changed meanwhile. Nothing is done.
    TooSlow, Busy
        If the time for the replay is over. Nothing is done.
    Unavailable
        If the database can't be reached or can't store.
    """
    if found.loses:
        for model in _models(found):
            found.states[model.pk] = (model.generation, _state(model, found.upto, limit, otherwise))
    familiarity.keep(found.stream)
    with stream_transaction(found.stream.pk, patient=True):
        before = Stream.objects.get(pk=found.stream.pk)
        if (before.whole_after, before.dropped) != (found.stream.whole_after, found.stream.dropped):
            raise Conflict(
                f"the retention of stream {before.name} was changed meanwhile: check it and try again", code="changed"
            )
        if found.loses:
            _keep_for_ever(found)
        whole_after = max(before.whole_after, found.upto)
        dropped = max(before.dropped, found.upto) if found.every is None else before.dropped
        Stream.objects.filter(pk=before.pk).update(whole_after=whole_after, dropped=dropped, epoch=F("epoch") + 1)
        audit_signals.send(
            "stream.retain",
            before.name,
            {"whole_after": before.whole_after, "dropped": before.dropped},
            {"whole_after": whole_after, "dropped": dropped, "upto": found.upto, "thin": found.every},
        )
    for model in Model.objects.filter(stream=found.stream).only("pk"):
        storing.forget_before(model.pk, found.upto)
    return retention.shorten(found.stream.pk, found.upto, found.every, progress)


def _keep_for_ever(found: Plan) -> None:
    """Replace all earlier snapshots by the planned states. The caller holds the stream's lock."""
    present = {model.pk: model.generation for model in _models(found)}
    if present != {pk: generation for pk, (generation, _) in found.states.items()}:
        raise Conflict(f"the models of stream {found.stream.name} changed meanwhile: try again", code="changed")
    for pk, (generation, state) in found.states.items():
        Snapshot.objects.update_or_create(
            model_id=pk, generation=generation, seq=found.upto,
            defaults={"state": state, "versions": snapshots.VERSIONS},
        )  # fmt: skip
        Snapshot.objects.filter(model_id=pk, seq__lt=found.upto).delete()


def _models(found: Plan) -> list[Model]:
    """Return the models that learned observations of the part, and check that all are ready."""
    newest = Retraction.objects.filter(stream=found.stream).aggregate(last=Max("pk"))["last"] or 0
    models = list(Model.objects.filter(stream=found.stream).exclude(status=Model.FAILED).order_by("pk"))
    for model in models:
        if model.status == Model.QUARANTINED:
            raise Conflict(
                f"model {model.name} is in quarantine, and its release needs the log of stream {found.stream.name}: release or "
                "delete it first",
                code="busy",
            )
        if model.status != Model.READY or model.retraction < newest:
            raise Conflict(
                f"model {model.name} is still learning the history of stream {found.stream.name} and needs the whole log: "
                "try again when it is ready",
                code="busy",
            )
    return [model for model in models if model.since < found.upto]


def _state(model: Model, upto: int, limit: TimeLimit | None, otherwise: str) -> bytes:
    """Return the stored state of a model after an observation. It is read back once, since the log won't be there any more."""
    replica = snapshots.load(model, model.stream.segment, upto)
    began = replica.n
    try:
        until = math.inf if limit is None else limit.until
        replay.fold_log(replica, model, replay.exclusions_of(model), upto, until=until)
    except DeadlineExceeded:
        assert limit is not None
        what = f"the replay of observations {began + 1:,} to {upto:,} (it came to {replica.n:,})"
        raise limit.error(model.name, what, f": {otherwise}", f"try again, or {otherwise}") from None
    trusted: Any = settings.TAILRACE.trusted if model.flavor == "custom" else ()
    try:
        with replay.turn_for_state(replica.size):
            state = loader.dump_state(replica.state())
        with replay.turn_for_state(len(state)):
            replay.initial_replica(model, model.stream.segment).restore(
                upto, loader.load_state(state, trusted_modules=trusted)
            )
    except Exception as exc:
        raise Conflict(
            f"model {model.name} can't be stored ({reason(exc)}), so it can be rebuilt from the log only: delete "
            "the model, or keep the log",
            code="not_storable",
        ) from exc
    return state
