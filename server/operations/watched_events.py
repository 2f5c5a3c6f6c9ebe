"""Watches for events that no request causes, and publishes each once: models that drift, and quarantines.

All processes look. What was last seen is stored, and only the process that changes it publishes.
"""

import time

from server.core.db.locks import transaction_for_writing
from server.learning.models import Model, ModelStatus, Quarantine
from server.notifications import outbox
from server.notifications.models import Watched

PAUSE = 15.0
"""Seconds between two looks."""

BEGUN, QUARANTINES = "begun", "quarantines"


class _Looked:
    """When the next look is due, and the drifts that this process has seen."""

    at = 0.0
    drifts: dict[int, int] | None = None


def look_when_due() -> None:
    """Look for new events, if it is time."""
    if time.monotonic() >= _Looked.at:
        look()
        _Looked.at = time.monotonic() + PAUSE


def look() -> None:
    """Look for new events, and publish them. What is there at the first look of all counts as known."""
    found = ModelStatus.objects.exclude(drift_at=None).values_list("pk", "drift_at")
    drifts = {pk: at for pk, at in found if at is not None}
    last = Quarantine.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
    seen = dict(Watched.objects.filter(key__in=(BEGUN, QUARANTINES)).values_list("key", "value"))
    if BEGUN not in seen:
        _begin(drifts, last)
        return
    for pk, at in drifts.items():
        if _Looked.drifts is None or _Looked.drifts.get(pk) != at:
            _tell_drift(pk, at)
    _Looked.drifts = drifts
    if last > int(seen.get(QUARANTINES, 0)):
        _tell_quarantines(int(seen.get(QUARANTINES, 0)), last)


def _begin(drifts: dict[int, int], last: int) -> None:
    rows = [Watched(key=_key(pk), value=str(at)) for pk, at in drifts.items()]
    rows += [Watched(key=QUARANTINES, value=str(last)), Watched(key=BEGUN, value="1")]
    with transaction_for_writing():
        Watched.objects.bulk_create(rows, ignore_conflicts=True)


def _key(pk: int) -> str:
    return f"drift:{pk}"


def _changed(key: str, before: str | None, after: str) -> bool:
    """Store what was seen. Return whether no other process did."""
    if before is None:
        return Watched.objects.get_or_create(key=key, defaults={"value": after})[1]
    return Watched.objects.filter(key=key, value=before).update(value=after) == 1


def _tell_drift(pk: int, at: int) -> None:
    before = Watched.objects.filter(key=_key(pk)).values_list("value", flat=True).first()
    model = Model.objects.select_related("stream").filter(pk=pk).first()
    if before == str(at) or model is None:
        return
    with transaction_for_writing():
        if _changed(_key(pk), before, str(at)):
            outbox.publish(
                "model.drifted", _owners(model), f"Model {model.name} drifts",
                f"The error of model {model.name} on stream {model.stream.name} has risen: its drift detector found a change "
                f"at scored observation {at:,}. The model's page shows when, how much and which observations are behind it.",
                path=f"/models/{model.name}/", group=f"drift {model.pk}",
            )  # fmt: skip


def _tell_quarantines(after: int, upto: int) -> None:
    new = list(Quarantine.objects.select_related("model").filter(pk__gt=after, pk__lte=upto, released_at=None))
    with transaction_for_writing():
        if not _changed(QUARANTINES, str(after), str(upto)):
            return
        for one in new:
            name = one.model.name
            outbox.publish(
                "model.quarantined", _owners(one.model), f"Model {name} is quarantined",
                f"Model {name} learns nothing until it is released: {one.reason}. Its owner or an admin releases it on its "
                "page, after the cause is removed; it then learns what it has missed.",
                path=f"/models/{name}/", group=f"quarantine {one.model.pk}",
            )  # fmt: skip


def _owners(model: Model) -> list[int]:
    return [] if model.owner_id is None else [model.owner_id]
