"""Creates models and waiting predictions from a store of django-river-ml."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction

from server.core import audit_signals
from server.core.errors import Conflict, Invalid, TailraceError, TooLarge
from server.core.validation import Checker, check_text
from server.learning import registry
from server.learning.models import ImportedModel, Model
from server.learning.pickles import loader
from server.learning.predictions import kept_predictions
from server.learning.trial import Candidate
from server.operations.river_ml import values
from server.operations.river_ml.store import Store, Stored

SOURCE = "django-river-ml"


@dataclass(frozen=True)
class Outcome:
    """What became of one model or prediction: ``imported``, ``there`` (as an earlier import left it), or why it was refused."""

    name: str
    state: str
    why: str = ""
    notes: str = ""


def import_models(
    store: Store, owner: User | None, names: dict[str, str], tell: Callable[[Outcome], None], *, change: bool
) -> dict[str, Model | None]:
    """Create the models, each by itself: one that is refused does not stop the others.

    Parameters
    ----------
    names
        New name by the name in the store.
    tell
        Called with each outcome.
    change
        Whether to create anything; otherwise everything is only read and checked.

    Returns
    -------
    dict
        The model by its name in the store; None where nothing was created.
    """
    made: dict[str, Model | None] = {}
    for name, stored in sorted(store.models.items()):
        new = names.get(name, name)
        try:
            outcome, made[name] = _import(new, stored, owner, change=change)
        except TailraceError as exc:
            outcome = Outcome(new, "refused", exc.message)
        tell(outcome)
    return made


def _import(name: str, stored: Stored, owner: User | None, *, change: bool) -> tuple[Outcome, Model | None]:
    if stored.model is None:
        raise Invalid("the store has no state of it")
    if stored.flavor is None:
        raise Invalid("the store has no flavor of it")
    fingerprint = hashlib.sha256(stored.model).hexdigest()
    flavor = values.flavor(stored.flavor)
    there = ImportedModel.objects.select_related("model__stream").filter(model__name=name).first()
    if there is not None and there.fingerprint == fingerprint:
        return Outcome(name, "there"), there.model
    if Model.objects.filter(name=name).exists():
        raise Conflict("another model has this name: import it under another one, with --rename OLD=NEW")
    notes = []
    metrics: dict[str, Any] = {}
    calls: dict[str, Any] = {}
    try:
        metrics = {} if stored.metrics is None else values.metrics(stored.metrics)
        calls = {} if stored.stats is None else values.calls(stored.stats)
    except TailraceError as exc:  # they are only told; the model doesn't depend on them
        notes.append(exc.message)
    said = "; ".join([flavor, *(f"{key} {value:.4g}" for key, value in metrics.items() if value is not None), *notes])
    trusted = settings.TAILRACE.trusted if flavor == "custom" else ()
    most = settings.TAILRACE.max_body_bytes
    data = stored.model
    candidate = Candidate(lambda: loader.load_estimator(data, trusted_modules=trusted, max_bytes=most))
    if not change:
        candidate.build()
        return Outcome(name, "can be imported", notes=said), None
    who: dict[str, Any] = {} if owner is None else {"created_by": owner.username, "owner_id": owner.pk}
    with transaction.atomic():
        model = registry.create(name, None, flavor, candidate, backfill=False, **who)
        ImportedModel.objects.create(model=model, source=SOURCE, fingerprint=fingerprint, metrics=metrics, calls=calls)
        audit_signals.send("model.import", name, after={"source": SOURCE, "flavor": flavor, "sha256": fingerprint})
    return Outcome(name, "imported", notes=said), model


def import_predictions(
    store: Store, models: dict[str, Model | None], tell: Callable[[Outcome], None]
) -> dict[str, int]:
    """Keep the predictions that wait for their labels. Return how many were kept, were there, and were refused."""
    counts = {"imported": 0, "there": 0, "refused": 0}
    checkers: dict[int, Checker] = {}
    for identifier, data in sorted(store.predictions.items()):
        try:
            state = _keep(identifier, data, models, checkers)
        except TailraceError as exc:
            state = "refused"
            tell(Outcome(f"#{identifier}", state, exc.message))
        counts[state] += 1
    return counts


def _keep(identifier: str, data: bytes, models: dict[str, Model | None], checkers: dict[int, Checker]) -> str:
    check_text(identifier, "the identifier", settings.TAILRACE.max_name_length)
    if not identifier:
        raise Invalid("its identifier is empty")
    name, features, prediction = values.prediction(data)
    model = models.get(name)
    if model is None:
        raise Invalid(f"its model {name} was not imported")
    stream = model.stream
    if stream.pk not in checkers:
        checkers[stream.pk] = Checker(stream.features, stream.target_kind)
    checkers[stream.pk].x(features, "features")
    if isinstance(prediction, (dict, str, list)) and len(str(prediction)) > settings.TAILRACE.max_prediction_bytes:
        raise TooLarge("its prediction is larger than TAILRACE_MAX_PREDICTION_BYTES")
    _, is_new = kept_predictions.keep(
        identifier=identifier,
        model_id=model.pk,
        stream_id=stream.pk,
        of_model=True,
        x=features,
        prediction=prediction,
        at=model.since,
        owner=None,
    )
    return "imported" if is_new else "there"
