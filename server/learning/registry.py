"""Models by name: find, create and delete."""

import random
from typing import Any

from django.conf import settings
from django.db import IntegrityError
from django.db.models import F, Max

from server.core import audit_signals
from server.core.db.find_by_name import find_by_name
from server.core.db.locks import stream_transaction
from server.core.errors import Conflict, Invalid, NotFound
from server.core.validation import check_name, format_value
from server.learning import quota_counts, trial
from server.learning.fold import flavors
from server.learning.models import Model, Snapshot
from server.learning.records import storing
from server.streams import registry as streams
from server.streams.models import Retraction, Stream
from server.streams.quotas import quota_usage
from server.streams.quotas.limits import Owner

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
    """Return the model with this name, with its stream loaded.

    Raises
    ------
    NotFound
        If there is none.
    """
    rows = Model.objects.select_related("stream").defer("initial")
    return find_by_name(rows, name, "no model named {name}", field="model")


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
        The model's name; None for a random readable one.
    stream_name
        An existing stream; None for the stream with the model's name, which is created if necessary.
    flavor_name, estimator
        The kind of task, and a river estimator for it or a :class:`~server.learning.trial.Candidate`.
    recipe, parameters
        The recipe that it was built from, and its parameters.
    backfill
        Whether it learns the stream's history first, in the background.
    owner
        The owner whose quotas the model (and a new stream) count for; None for no quota.

    Raises
    ------
    Invalid
        If the name or the flavor is invalid, the estimator doesn't fit the flavor or the stream's target, or it fails its trial.
    NotFound
        If there is no such stream.
    Conflict
        If the name is taken, or the model is to learn the stream's history, which is not all kept.
    QuotaExceeded
        If the owner's quota is used up.
    """
    flavor = flavors.get(flavor_name)
    if name is None:
        name = _free_name()
    check_name(name, "model")
    there = Stream.objects.filter(name=name).first() if stream_name is None else streams.find(stream_name)
    initial = trial.accepted(estimator, flavor, there)
    taken = Conflict(f"the name {format_value(name)} is taken: choose another one", field="name", code="name_taken")
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
                raise NotFound(f"no stream named {format_value(stream_name)}", field="stream")
            head, whole_after = found
            if backfill and whole_after:
                raise Conflict(
                    f"observations 1 to {whole_after} of stream {stream.name} are no longer all kept, so a new model can't "
                    "learn its history: create it with backfill false, and it learns from now on",
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
            charged = quota_usage.charge(owner, quota_counts.of_model(initial))
            audit_signals.send("model.create", name, after=audit_entry(model))
            charged.report()
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
    # Names are readable, not secret.
    for digits in (2, 2, 3, 4, 6):
        name = f"{random.choice(_FIRST.split())}-{random.choice(_SECOND.split())}-{random.randrange(10**digits):0{digits}d}"
        if not Model.objects.filter(name=name).exists() and not Stream.objects.filter(name=name).exists():
            return name
    raise Conflict("no free name was found: give one", field="name")


def delete(name: Any) -> None:
    """Delete a model with its snapshots, its record and kept predictions; its stream's log stays.

    Most rows are deleted first, in several transactions. If interrupted, call it again to finish.

    Raises
    ------
    NotFound
        If there is no such model.
    """
    model = find(name)
    quota_counts.delete_predictions_in_turns("model_id = %s ORDER BY id", model.pk)
    _drop_snapshots(model)
    storing.delete_in_turns(Model.objects.filter(pk=model.pk))
    with stream_transaction(model.stream_id):
        # While it is locked, it gets no more predictions, and no other request deletes it.
        held = Model.objects.select_for_update().filter(pk=model.pk).defer("initial").first()
        if held is None:
            raise NotFound(f"no model named {format_value(name)}", field="model")
        freed = quota_counts.of_deleted_models(Model.objects.filter(pk=held.pk))
        held.delete()
        quota_usage.release(freed)
        audit_signals.send("model.delete", model.name, before=audit_entry(model))
        Stream.objects.filter(pk=model.stream_id).update(epoch=F("epoch") + 1)


def _drop_snapshots(model: Model) -> None:
    """Delete most snapshots of a model, so that its own deletion is short.

    The newest stays, and the one that replaces a deleted part of the log, so that the model still works if it isn't deleted.
    """
    newest = Snapshot.objects.filter(model=model, generation=model.generation).aggregate(last=Max("seq"))["last"]
    whole_after = Stream.objects.values_list("whole_after", flat=True).filter(pk=model.stream_id).first()
    quota_counts.delete_snapshots_in_turns(
        "model_id = %s AND seq NOT IN (%s, %s) ORDER BY id", model.pk, newest or 0, whole_after or 0
    )


def audit_entry(model: Model) -> dict[str, Any]:
    """Return a model as the audit trail records it."""
    return {
        "stream": model.stream.name,
        "flavor": model.flavor,
        "recipe": model.recipe or None,
        "parameters": model.parameters,
        "since": model.since,
        "created_by": model.created_by,
    }
