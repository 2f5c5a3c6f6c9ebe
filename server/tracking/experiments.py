"""Experiments: create, find, list, rename, delete, restore. A deleted one keeps its name until it is removed for good."""

import re
from collections.abc import Mapping
from typing import Any

from django.db import IntegrityError
from django.db.models import Count, Max, Q

from server.core import audit_signals
from server.core.db.locks import transaction_for_writing
from server.core.errors import Conflict, NotFound
from server.core.validation import check_text, format_value
from server.tracking import checks, feed_queue
from server.tracking.clock import now_ms
from server.tracking.models import Experiment, ExperimentTag, Run
from server.tracking.models.names import ACTIVE, DELETED

DEFAULT = "Default"
"""Name of experiment 0, which is made when it is first needed."""

LONGEST_DESCRIPTION = 10_000
_NUMBER = re.compile(r"[0-9]{1,18}\Z")


def by_name(name: Any) -> Experiment:
    """Return the experiment of this name, deleted or not.

    Raises
    ------
    NotFound
        If there is none.
    """
    found = Experiment.objects.filter(name=name).first() if isinstance(name, str) and "\x00" not in name else None
    if found is None and name == DEFAULT:
        return default()
    if found is None:
        raise NotFound(f"no experiment named {format_value(name)}", field="experiment")
    return found


def by_number(number: Any) -> Experiment:
    """Return the experiment of this number, given as a number or its text, deleted or not.

    Raises
    ------
    NotFound
        If there is none.
    """
    is_number = type(number) is int or (isinstance(number, str) and _NUMBER.match(number))
    found = Experiment.objects.filter(pk=int(number)).first() if is_number and 0 <= int(number) < 2**63 else None
    if found is None and is_number and int(number) == 0:
        return default()
    if found is None:
        raise NotFound(f"no experiment with number {format_value(number)}", field="experiment")
    return found


def default() -> Experiment:
    """Return experiment 0, and make it if it is missing."""
    found = Experiment.objects.filter(pk=0).first()
    if found is not None:
        return found
    now = now_ms()
    with transaction_for_writing():
        Experiment.objects.bulk_create(
            [Experiment(pk=0, name=DEFAULT, created_ms=now, changed_ms=now)], ignore_conflicts=True
        )
    return Experiment.objects.get(pk=0)


def create(
    name: Any,
    *,
    description: str = "",
    tags: Mapping[str, str] | None = None,
    created_by: str = "",
    owner_id: int | None = None,
) -> Experiment:
    """Create an experiment.

    Raises
    ------
    Invalid
        If the name, the description or a tag is not valid.
    Conflict
        If there is one of this name, perhaps deleted.
    """
    checks.name(name)
    check_text(description, "description", LONGEST_DESCRIPTION)
    pairs = checks.pairs(dict(tags or {}), "tags")
    if name == DEFAULT:
        raise Conflict(f"experiment {DEFAULT} exists already", field="name", code="exists")
    now = now_ms()
    try:
        with transaction_for_writing():
            made = Experiment.objects.create(
                name=name, description=description, created_ms=now, changed_ms=now, created_by=created_by, owner_id=owner_id
            )  # fmt: skip
            ExperimentTag.objects.bulk_create(ExperimentTag(experiment=made, key=k, value=v) for k, v in pairs.items())
            audit_signals.send("experiment.create", str(made.pk), after={"name": name})
    except IntegrityError as exc:
        found = Experiment.objects.filter(name=name).first()
        hint = "; it is deleted: restore it, or choose another name" if found and found.lifecycle == DELETED else ""
        raise Conflict(f"experiment {format_value(name)} exists already{hint}", field="name", code="exists") from exc
    return made


def get_or_create(name: Any, **made_by: Any) -> Experiment:
    """Return the experiment of this name, and create it if there is none.

    Raises
    ------
    Invalid
        If the name is not valid.
    Conflict
        If it is deleted.
    """
    checks.name(name, "experiment")
    found = default() if name == DEFAULT else Experiment.objects.filter(name=name).first()
    if found is None:
        try:
            found = create(name, **made_by)
        except Conflict:  # another process has just created it
            found = by_name(name)
    check_active(found)
    return found


def check_active(experiment: Experiment) -> None:
    """Check that an experiment is not deleted.

    Raises
    ------
    Conflict
        If it is.
    """
    if experiment.lifecycle == DELETED:
        raise Conflict(
            f"experiment {format_value(experiment.name)} is deleted: restore it, or use another one",
            field="experiment",
            code="deleted",
        )


def change(experiment: Experiment, fields: Mapping[str, Any]) -> Experiment:
    """Change ``name``, ``description`` and ``tags`` (null deletes one) of an experiment.

    Raises
    ------
    Invalid
        If one is not valid.
    Conflict
        If the experiment is deleted, or another one has this name.
    """
    tags = dict(fields.get("tags") or {})
    checks.pairs({key: value for key, value in tags.items() if value is not None}, "tags")
    try:
        with transaction_for_writing():
            found = Experiment.objects.select_for_update(no_key=True).get(pk=experiment.pk)
            check_active(found)
            before = {"name": found.name, "description": found.description}
            if "name" in fields:
                found.name = checks.name(fields["name"])
                if found.name == DEFAULT and found.pk != 0:  # also before experiment 0 is made
                    raise Conflict(f"experiment {DEFAULT} exists already", field="name", code="exists")
            if "description" in fields:
                found.description = check_text(fields["description"], "description", LONGEST_DESCRIPTION)
            found.changed_ms = now_ms()
            found.save()
            for key, value in tags.items():
                checks.key(key, f"key {format_value(key)} of tags")
                if value is None:
                    found.tags.filter(key=key).delete()
                else:
                    found.tags.update_or_create(key=key, defaults={"value": value})
            after = {"name": found.name, "description": found.description}
            if before != after:
                audit_signals.send("experiment.change", str(found.pk), before=before, after=after)
    except IntegrityError as exc:
        raise Conflict(
            f"experiment {format_value(fields['name'])} exists already", field="name", code="exists"
        ) from exc
    return found


def delete(experiment: Experiment) -> None:
    """Delete an experiment and its runs. They can be restored until they are removed for good. Repeated, nothing changes."""
    now = now_ms()
    with transaction_for_writing():
        found = Experiment.objects.select_for_update(no_key=True).get(pk=experiment.pk)
        if found.lifecycle == DELETED:
            return
        found.lifecycle, found.deleted_ms, found.changed_ms = DELETED, now, now
        found.save()
        Run.objects.filter(experiment=found, lifecycle=ACTIVE).update(lifecycle=DELETED, deleted_ms=now)
        audit_signals.send("experiment.delete", str(found.pk), before={"name": found.name})


def restore(experiment: Experiment) -> Experiment:
    """Restore a deleted experiment, with the runs that were deleted with it. Repeated, nothing changes."""
    with transaction_for_writing():
        found = Experiment.objects.select_for_update(no_key=True).get(pk=experiment.pk)
        if found.lifecycle == ACTIVE:
            return found
        with_it = Run.objects.filter(experiment=found, lifecycle=DELETED, deleted_ms=found.deleted_ms)
        with_it.update(lifecycle=ACTIVE, deleted_ms=None)
        feed_queue.again_for(found.pk)
        found.lifecycle, found.deleted_ms, found.changed_ms = ACTIVE, None, now_ms()
        found.save()
        audit_signals.send("experiment.restore", str(found.pk), after={"name": found.name})
    return found


def listing(lifecycle: str | None = ACTIVE, name: str | None = None) -> list[dict[str, Any]]:
    """Return the experiments by name, or only the one with this name; ``lifecycle`` None: also deleted ones."""
    rows = Experiment.objects.order_by("name")
    if name is not None:
        rows = rows.filter(name=name)
    return described(list(rows if lifecycle is None else rows.filter(lifecycle=lifecycle)))


def described(found: list[Experiment]) -> list[dict[str, Any]]:
    """Return experiments as the API shows them."""
    numbers = [one.pk for one in found]
    tags: dict[int, dict[str, str]] = {number: {} for number in numbers}
    counts: dict[int, tuple[int, int, int | None]] = {}
    for first in range(0, len(numbers), 500):
        some = numbers[first : first + 500]
        for number, key, value in ExperimentTag.objects.filter(experiment__in=some).values_list(
            "experiment", "key", "value"
        ):
            tags[number][key] = value
        runs = Run.objects.filter(experiment__in=some, lifecycle=ACTIVE).order_by().values("experiment")
        running = Count("pk", filter=Q(status=Run.RUNNING))
        for row in runs.annotate(all=Count("pk"), running=running, last=Max("started_ms")):
            counts[row["experiment"]] = row["all"], row["running"], row["last"]
    return [
        {
            "id": one.pk,
            "name": one.name,
            "description": one.description,
            "lifecycle": one.lifecycle,
            "tags": tags[one.pk],
            "runs": counts.get(one.pk, (0, 0, None))[0],
            "running": counts.get(one.pk, (0, 0, None))[1],
            "last_started_ms": counts.get(one.pk, (0, 0, None))[2],
            "created_ms": one.created_ms,
            "changed_ms": one.changed_ms,
            "created_by": one.created_by,
        }
        for one in found
    ]
