"""Models by name: made, listed, looked at, deleted."""

import random
from typing import Any

from django.conf import settings
from django.db import IntegrityError
from django.db.models import F, Max

from server.learning import flavors, trial, usage
from server.learning.models import Model, Snapshot
from server.streams import changes, quota_usage
from server.streams import registry as streams
from server.streams.errors import Conflict, Invalid, NotFound
from server.streams.locks import stream_transaction
from server.streams.models import Retraction, Stream
from server.streams.quotas import Owner
from server.streams.validation import check_name, shown

FITTING_TARGETS = {
    "regression": ("number", "any"),
    "binary": ("boolean", "any"),
    "multiclass": ("category", "boolean", "number", "any"),
}

_FIRST = "amber brisk calm clear cool deep fleet fresh gentle grand keen lively lucid mellow nimble quiet rapid silver steady swift"
_SECOND = (
    "bay beck brook burn channel creek current delta eddy ford lock mill pool race reach rill river stream weir wheel"
)


def find(name: Any) -> Model:
    """The model called ``name``, with its stream.

    Raises
    ------
    NotFound
        If there is none.
    """
    found = None
    if isinstance(name, str) and "\x00" not in name:
        found = Model.objects.select_related("stream").defer("initial").filter(name=name).first()
    if found is None:
        raise NotFound(f"no model named {shown(name)}", field="model")
    return found


def create(
    name: Any,
    stream_name: Any,
    flavor_name: Any,
    estimator: Any,
    *,
    recipe: str = "",
    parameters: dict[str, Any] | None = None,
    backfill: bool = True,
    created_by: str = "",
    owner_id: int | None = None,
    owner: Owner | None = None,
) -> Model:
    """Attach an initial estimator to a stream.

    Parameters
    ----------
    name
        The model's name; None for a random friendly one.
    stream_name
        An existing stream; None for the one of the model's own name, which is made if need be.
    flavor_name, estimator
        The kind of task, and a river estimator that can do it, or a :class:`~server.learning.trial.Candidate` for one.
    recipe, parameters
        What it was built from.
    backfill
        Whether it learns the stream's history first, in the background.
    owner
        Whose quotas it counts for, and its stream if that is made; None for nobody's.

    Raises
    ------
    Invalid
        If the name, the flavor, or the estimator for that flavor or that stream's target won't do, or the estimator fails its
        trial.
    NotFound
        If the stream was named and isn't there.
    Conflict
        If the name is taken, or the stream's history isn't all kept and was to be learned.
    QuotaExceeded
        If the owner has as much as they may.
    """
    flavor = flavors.get(flavor_name)
    if name is None:
        name = _free_name()
    check_name(name, "model")
    there = Stream.objects.filter(name=name).first() if stream_name is None else streams.find(stream_name)
    initial = trial.accepted(estimator, flavor, there)
    taken = Conflict(f"the name {shown(name)} is taken: choose another one", field="name", code="name_taken")
    if Model.objects.filter(name=name).exists():
        raise taken
    stream = _stream_for(name, stream_name, flavor, created_by, owner_id, owner)
    fitting = FITTING_TARGETS.get(flavor.name)
    if fitting and stream.target_kind not in fitting:
        raise Invalid(
            f"a {flavor.name} model can't learn stream {stream.name}, whose target is of kind {stream.target_kind}: "
            f"expected {' or '.join(fitting)}",
            field="flavor",
        )
    try:
        with stream_transaction(stream.pk):
            found = Stream.objects.values_list("head", "whole_after").filter(pk=stream.pk).first()
            if found is None:
                raise NotFound(f"no stream named {shown(stream_name)}", field="stream")
            head, whole_after = found
            if backfill and whole_after:
                raise Conflict(
                    f"observations 1 to {whole_after} of stream {stream.name} are no longer all kept, so that a new model can't "
                    "learn its history: make it with backfill false, and it learns from now on",
                    field="backfill",
                    code="not_kept",
                )
            since = 0 if backfill else head
            retraction = Retraction.objects.filter(stream=stream).aggregate(last=Max("pk"))["last"] or 0
            model = Model.objects.create(
                name=name,
                stream=stream,
                flavor=flavor.name,
                recipe=recipe,
                parameters=parameters or {},
                initial=initial,
                window=settings.TAILRACE.rolling_window,
                since=since,
                live_since=head,
                progress=since,
                retraction=retraction,
                status=Model.READY if since == head else Model.BACKFILLING,
                created_by=created_by,
                owner_id=owner_id,
                token_id=None if owner is None else owner.token_id or None,
            )
            charged = quota_usage.charge(owner, usage.of_model(initial))
            changes.tell("model.create", name, after=told_of(model))
            charged.tell()
            Stream.objects.filter(pk=stream.pk).update(epoch=F("epoch") + 1)
    except IntegrityError as exc:
        raise taken from exc
    return model


def _stream_for(
    name: str,
    stream_name: Any,
    flavor: flavors.Flavor,
    created_by: str,
    owner_id: int | None,
    owner: Owner | None,
) -> Stream:
    if stream_name is not None:
        return streams.find(stream_name)
    found = Stream.objects.filter(name=name).first()
    if found is not None:
        return found
    try:
        return streams.create(name, target_kind=flavor.target, created_by=created_by, owner_id=owner_id, owner=owner)
    except Conflict:
        return streams.find(name)  # another request was first


def _free_name() -> str:
    # Names need to be friendly, not secret.
    for digits in (2, 2, 3, 4, 6):
        name = f"{random.choice(_FIRST.split())}-{random.choice(_SECOND.split())}-{random.randrange(10**digits):0{digits}d}"
        if not Model.objects.filter(name=name).exists() and not Stream.objects.filter(name=name).exists():
            return name
    raise Conflict("no free name was found: give one", field="name")


def delete(name: Any) -> None:
    """Delete a model with its snapshots and kept predictions; its stream's log stays.

    Much of it goes first, in several transactions. What ends it among those is made good by the same again.

    Raises
    ------
    NotFound
        If there is no such model.
    """
    model = find(name)
    usage.delete_predictions_in_turns("model_id = %s ORDER BY id", model.pk)
    _drop_snapshots(model)
    with stream_transaction(model.stream_id):
        # Locked, it gets no more predictions, and nobody else deletes it.
        held = Model.objects.select_for_update().filter(pk=model.pk).defer("initial").first()
        if held is None:
            raise NotFound(f"no model named {shown(name)}", field="model")
        freed = usage.of_deleted_models(Model.objects.filter(pk=held.pk))
        held.delete()
        quota_usage.release(freed)
        changes.tell("model.delete", model.name, before=told_of(model))
        Stream.objects.filter(pk=model.stream_id).update(epoch=F("epoch") + 1)


def _drop_snapshots(model: Model) -> None:
    """Delete snapshots that a model can do without, were it to stay after all, so that its own deletion is short.

    The newest stays, and the one that stands for what isn't kept of the log.
    """
    newest = Snapshot.objects.filter(model=model, generation=model.generation).aggregate(last=Max("seq"))["last"]
    whole_after = Stream.objects.values_list("whole_after", flat=True).filter(pk=model.stream_id).first()
    usage.delete_snapshots_in_turns(
        "model_id = %s AND seq NOT IN (%s, %s) ORDER BY id", model.pk, newest or 0, whole_after or 0
    )


def told_of(model: Model) -> dict[str, Any]:
    """What the audit trail says of a model."""
    return {
        "stream": model.stream.name,
        "flavor": model.flavor,
        "recipe": model.recipe or None,
        "parameters": model.parameters,
        "since": model.since,
        "created_by": model.created_by,
    }
