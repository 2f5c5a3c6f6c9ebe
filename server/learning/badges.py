"""Badges of models: who may see them, and what they say."""

import secrets
from dataclasses import dataclass

from server.core import audit_signals
from server.core.db.locks import transaction_for_writing
from server.core.errors import NotFound
from server.learning.models import Badge, Model, ModelStatus

KEY_BYTES = 18
RENEW, WITHDRAW, PUBLISH, HIDE = "renew", "withdraw", "publish", "hide"
CHANGES = (PUBLISH, HIDE, RENEW, WITHDRAW)


def of(model: Model) -> Badge:
    """Return who may see the badge of a model; by default, only who may read the model."""
    return Badge.objects.filter(pk=model.pk).first() or Badge(model=model)


def change(model: Model, what: str) -> Badge:
    """Change who may see a badge.

    Parameters
    ----------
    model
        The model.
    what
        ``publish`` (everybody may see it) or ``hide``; ``renew`` (it gets a new address of its own, and the earlier one
        ends) or ``withdraw`` (it has no such address any more).

    Raises
    ------
    NotFound
        If the model was deleted.
    """
    with transaction_for_writing():
        if not Model.objects.select_for_update().filter(pk=model.pk).exists():
            raise NotFound(f"no model named {model.name}", field="model")
        badge, _ = Badge.objects.get_or_create(model_id=model.pk)
        before = _audited(badge)
        if what in (PUBLISH, HIDE):
            badge.is_public = what == PUBLISH
        else:
            badge.key = secrets.token_urlsafe(KEY_BYTES) if what == RENEW else ""
        badge.save()
        audit_signals.send("model.badge", model.name, before, {**_audited(badge), "change": what})
    return badge


def _audited(badge: Badge) -> dict[str, bool]:
    return {"is_public": badge.is_public, "has_address": bool(badge.key)}


@dataclass(frozen=True)
class Reading:
    """What a badge says.

    Attributes
    ----------
    metric, value
        Name and value of the model's main metric over the latest observations, or else over all; None where there is none.
    n
        Observations that it has learned.
    has_drifted
        Whether drift was found within the latest rolling window.
    status
        The model's status.
    since_drift
        Scored observations since drift was last found; None if it never was.
    """

    metric: str
    value: float | None
    n: int
    has_drifted: bool
    status: str
    since_drift: int | None = None


def reading(model: Model) -> Reading:
    """Return what the badge of a model, which is given with its stream, says now. It may be some seconds old."""
    found = ModelStatus.objects.filter(model=model, generation=model.generation).first()
    if found is None:
        is_behind = model.status in (Model.BACKFILLING, Model.FAILED)
        return Reading("", None, model.progress if is_behind else model.stream.head, False, model.status)
    since = None if found.drift_at is None else found.scored - found.drift_at
    drifted = since is not None and since < model.window
    value = found.value if found.rolling is None else found.rolling
    return Reading(found.metric, value, found.n, drifted, model.status, since)
