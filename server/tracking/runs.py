"""Runs: create, find, change, delete, restore. :mod:`server.tracking.writing` stores what they log."""

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from django.db import IntegrityError

from server.core import audit_signals
from server.core.db.locks import transaction_for_writing
from server.core.errors import Conflict, Invalid, NotFound
from server.core.validation import check_text, format_value
from server.streams.quotas.limits import Owner
from server.tracking import checks, experiments, feed_queue, run_quotas, summaries, writing
from server.tracking.clock import now_ms
from server.tracking.models import Experiment, Run
from server.tracking.models.names import ACTIVE, DELETED, LONGEST_NAME


def find(uid: Any) -> Run:
    """Return a run, deleted or not.

    Raises
    ------
    NotFound
        If there is none of this identifier.
    """
    rows = Run.objects.select_related("experiment")
    found = rows.filter(uid=uid).first() if isinstance(uid, str) and checks.UID.match(uid) else None
    if found is None:
        raise NotFound(f"no run {format_value(uid)}", field="run")
    return found


def create(
    experiment: Experiment,
    *,
    uid: str | None = None,
    name: str = "",
    started_ms: int | None = None,
    parent: str = "",
    user_name: str = "",
    status: str = Run.RUNNING,
    tags: Mapping[str, str] | None = None,
    params: Mapping[str, str] | None = None,
    created_by: str = "",
    owner_id: int | None = None,
    owner: Owner | None = None,
) -> Run:
    """Create a run of an experiment.

    Parameters
    ----------
    uid
        Its identifier, 32 hexadecimal digits; None: a new one.
    parent
        Identifier of the run that it belongs to, which need not have arrived yet; empty: none.
    owner
        Whose quota counts it.

    Raises
    ------
    Invalid
        If a value is not valid.
    QuotaExceeded
        If the owner's quota is used up.
    Conflict
        If the experiment is deleted, or there is a run with this identifier.
    """
    experiments.check_active(experiment)
    uid = uuid4().hex if uid is None else checks.uid(uid)
    if parent and checks.uid(parent, "parent") == uid:
        raise Invalid(f"parent is {format_value(parent)}: a run can't be its own parent", field="parent")
    check_text(name, "name", LONGEST_NAME)
    check_text(user_name, "user_name", LONGEST_NAME)
    check_status(status)
    now = now_ms()
    started_ms = now if started_ms is None else checks.whole(started_ms, "started_ms")
    own_tags, own_params = checks.pairs(dict(tags or {}), "tags"), checks.pairs(dict(params or {}), "params")
    try:
        with transaction_for_writing():
            made = Run.objects.create(
                uid=uid, experiment=experiment, name=name, status=status, started_ms=started_ms, parent=parent,
                user_name=user_name, heard_ms=now, created_by=created_by, owner_id=owner_id,
                token_id=None if owner is None else owner.token_id or None,
            )  # fmt: skip
            charged = run_quotas.charge_run(owner)
            if own_tags or own_params:
                with writing.locked(uid) as run:
                    writing.log_params(run, own_params)
                    writing.log_tags(run, own_tags)
            if status == Run.FINISHED:
                feed_queue.add(made.pk, experiment.pk)
            charged.report()
    except IntegrityError as exc:
        raise Conflict(f"run {uid} exists already", field="uid", code="exists") from exc
    return made


def put(uid: Any, experiment: Any, **fields: Any) -> tuple[Run, bool]:
    """Return the run with an identifier, and whether it was created now. ``fields`` are those of :func:`create`.

    Parameters
    ----------
    experiment
        Name of its experiment, which is created if it is missing.

    Raises
    ------
    Invalid
        If a value is not valid.
    Conflict
        If the run belongs to another experiment, or it or the experiment is deleted.
    """
    checks.uid(uid)
    checks.name(experiment, "experiment")
    found = Run.objects.select_related("experiment").filter(uid=uid).first()
    if found is None:
        made_by = {name: fields[name] for name in ("created_by", "owner_id") if name in fields}
        try:
            return create(experiments.get_or_create(experiment, **made_by), uid=uid, **fields), True
        except Conflict as exc:
            if exc.code != "exists":
                raise
        found = find(uid)  # another process has just created it
    if found.experiment.name != experiment:
        raise Conflict(
            f"run {uid} belongs to experiment {format_value(found.experiment.name)}, not to {format_value(experiment)}: use "
            "another identifier",
            field="experiment",
            code="other_experiment",
        )
    if found.lifecycle == DELETED:
        raise Conflict(f"run {uid} is deleted: restore it first", field="uid", code="deleted")
    return found, False


def check_status(status: Any) -> str:
    """Return the status of a run.

    Raises
    ------
    Invalid
        If it is none.
    """
    if status not in Run.STATUSES:
        raise Invalid(f"status is {format_value(status)}: expected one of {', '.join(Run.STATUSES)}", field="status")
    return str(status)


def change(uid: Any, fields: Mapping[str, Any]) -> Run:
    """Change ``name``, ``status``, ``ended_ms``, ``params`` or ``tags`` (null deletes one) of a run.

    A run that ends without ``ended_ms`` ends now; one that runs again has none.

    Raises
    ------
    NotFound, Conflict
        If there is no such run, or it is deleted; if a param has another value already.
    Invalid
        If a value is not valid.
    """
    tags = dict(fields.get("tags") or {})
    written = checks.pairs({key: value for key, value in tags.items() if value is not None}, "tags")
    params = checks.pairs(dict(fields.get("params") or {}), "params")
    values: dict[str, Any] = {}
    if fields.get("name") is not None:
        values["name"] = check_text(fields["name"], "name", LONGEST_NAME)
    if fields.get("status") is not None:
        values["status"] = check_status(fields["status"])
        values["ended_ms"] = now_ms() if values["status"] in Run.ENDED else None
    if fields.get("ended_ms") is not None:
        values["ended_ms"] = checks.whole(fields["ended_ms"], "ended_ms")
    with writing.locked(uid) as run:
        if values:
            Run.objects.filter(pk=run.pk).update(**values)
        if values.get("status") == Run.FINISHED:
            feed_queue.add(run.pk, run.experiment_id)
        writing.log_params(run, params)
        writing.log_tags(run, written)
        for key, value in tags.items():
            if value is None:
                writing.delete_tag(run, key)
    found = find(uid)
    if found.status in Run.ENDED:
        summaries.refresh([found.pk])
    return found


def delete(uid: Any) -> None:
    """Delete a run. It can be restored until it is removed for good. Repeated, nothing changes."""
    with writing.locked(uid, may_be_deleted=True) as run:
        if run.lifecycle == DELETED:
            return
        Run.objects.filter(pk=run.pk).update(lifecycle=DELETED, deleted_ms=now_ms())
        audit_signals.send("run.delete", run.uid)


def restore(uid: Any) -> None:
    """Restore a deleted run. Repeated, nothing changes.

    Raises
    ------
    Conflict
        If its experiment is deleted.
    """
    experiments.check_active(find(uid).experiment)
    with writing.locked(uid, may_be_deleted=True) as run:
        if run.lifecycle == ACTIVE:
            return
        Run.objects.filter(pk=run.pk).update(lifecycle=ACTIVE, deleted_ms=None)
        audit_signals.send("run.restore", run.uid)
