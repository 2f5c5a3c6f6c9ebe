"""A log that need not be kept whole: each model's state stands for what goes, in a snapshot that is kept for ever."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.db.models import F, Max

from server.learning import familiarity, pickles, replay, snapshots
from server.learning.models import Model, Snapshot
from server.learning.replica import reason
from server.streams import changes, retention
from server.streams.errors import Conflict, Invalid
from server.streams.locks import stream_transaction
from server.streams.models import Retraction, Stream

LEAST_THINNING = 2


@dataclass
class Plan:
    """What is to go of a stream's log.

    Attributes
    ----------
    stream
        The stream.
    upto
        The last observation that it concerns.
    every
        Those whose number is a multiple of this stay; None: none.
    states
        Model id to (generation, stored state after ``upto``), of the models that learned observations that go.
    """

    stream: Stream
    upto: int
    every: int | None
    states: dict[int, tuple[int, bytes]] = field(default_factory=dict)

    @property
    def loses(self) -> bool:
        """Whether the log is whole now where it won't be afterwards."""
        return self.upto > self.stream.whole_after


def plan(stream: Stream, upto: int, every: int | None) -> Plan:
    """Check what is asked for. Nothing is changed.

    Raises
    ------
    Invalid
        If there are no such observations, or none would be left.
    Conflict
        If a model of the stream is still on its way, or a retraction isn't worked in.
    """
    if every is not None and every < LEAST_THINNING:
        raise Invalid(f"thin is {every}: expected {LEAST_THINNING} or more, to keep every so-manieth", field="thin")
    if not 1 <= upto < stream.head:
        raise Invalid(
            f"observations up to {upto} of stream {stream.name} are asked to go: expected 1 to {stream.head - 1}, all but the "
            f"last of {stream.head}",
            field="before",
        )
    found = Plan(stream, upto, every)
    _models(found)
    return found


def carry_out(found: Plan, progress: Callable[[int], None] | None = None) -> int:
    """Do it: first the models' snapshots and the stream's record of it, in one transaction, then the log, in many.

    What ends it in between is made good by the same again.

    Returns
    -------
    int
        Rows of the log that were changed or deleted.

    Raises
    ------
    Conflict
        If a model's state can't be stored, or something changed meanwhile: nothing was done.
    Unavailable
        If the database can't be reached or can't store.
    """
    if found.loses:
        for model in _models(found):
            found.states[model.pk] = (model.generation, _state(model, found.upto))
    familiarity.keep(found.stream)
    with stream_transaction(found.stream.pk, patient=True):
        before = Stream.objects.get(pk=found.stream.pk)
        if (before.whole_after, before.dropped) != (found.stream.whole_after, found.stream.dropped):
            raise Conflict(f"what is kept of stream {before.name} was changed meanwhile: look again", code="changed")
        if found.loses:
            _keep_for_ever(found)
        whole_after = max(before.whole_after, found.upto)
        dropped = max(before.dropped, found.upto) if found.every is None else before.dropped
        Stream.objects.filter(pk=before.pk).update(whole_after=whole_after, dropped=dropped, epoch=F("epoch") + 1)
        changes.tell(
            "stream.retain",
            before.name,
            {"whole_after": before.whole_after, "dropped": before.dropped},
            {"whole_after": whole_after, "dropped": dropped, "upto": found.upto, "thin": found.every},
        )
    return retention.shorten(found.stream.pk, found.upto, found.every, progress)


def _keep_for_ever(found: Plan) -> None:
    """Put the states in the place of all snapshots before. Under the stream's lock."""
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
    """The models that have learned something of what goes, all of them ready."""
    newest = Retraction.objects.filter(stream=found.stream).aggregate(last=Max("pk"))["last"] or 0
    models = list(Model.objects.filter(stream=found.stream).exclude(status=Model.FAILED).order_by("pk"))
    for model in models:
        if model.status == Model.QUARANTINED:
            raise Conflict(
                f"model {model.name} is in quarantine, and a release would need the log of stream {found.stream.name}: release or "
                "delete it first",
                code="busy",
            )
        if model.status != Model.READY or model.retraction < newest:
            raise Conflict(
                f"model {model.name} is still learning the history of stream {found.stream.name}, which needs all of it: "
                "try again when it is ready",
                code="busy",
            )
    return [model for model in models if model.since < found.upto]


def _state(model: Model, upto: int) -> bytes:
    """The model as it is after an observation, as it is stored; read back once, for nothing else will be left."""
    replica = snapshots.load(model, model.stream.segment, upto)
    replay.feed(replica, model, replay.left_out(model), upto)
    trusted: Any = settings.TAILRACE.trusted if model.flavor == "custom" else ()
    try:
        state = pickles.dump_state(replica.state())
        replay.fresh(model, model.stream.segment).restore(upto, pickles.load_state(state, trusted_modules=trusted))
    except Exception as exc:
        raise Conflict(
            f"model {model.name} can't be stored ({reason(exc)}), so that the log is all that it can be rebuilt from: delete "
            "the model, or keep the log",
            code="not_storable",
        ) from exc
    return state
