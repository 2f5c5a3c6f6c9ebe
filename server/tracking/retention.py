"""Removal for good of runs, logged models and experiments that were deleted ``TAILRACE_RUN_RETENTION_DAYS`` ago.

Points of metrics go first, in several short transactions, and the rest of a run in one. Contents of artifacts that nothing
else names are cleaned up afterwards (:mod:`server.calculations.cleaning`). Versions of registered models stay: they say where
they came from.
"""

import logging
from functools import partial
from typing import Any

from django.conf import settings
from django.db import connection

from server.core import audit_signals
from server.core.db.batched_deletion import delete_in_batches, in_list
from server.core.db.locks import transaction_for_writing
from server.streams.quotas import quota_usage
from server.tracking import artifacts, run_quotas
from server.tracking.clock import now_ms
from server.tracking.models import Artifact, Experiment, LoggedModel, Metric, Run
from server.tracking.models.names import DELETED

log = logging.getLogger(__name__)

DAY_MS = 86_400_000
MOST_AT_ONCE = 200
"""Most runs that are removed in one go, so that other background work need not wait."""

_POINTS = (
    "SELECT m.id, 48 FROM tracking_metric m JOIN tracking_latestmetric s ON s.id = m.series_id WHERE s.run_id = %s"
)


def due_before() -> int | None:
    """Return the time before which a run must have been deleted to be removed, ms; None: none is."""
    days: int = settings.TAILRACE.run_retention_days
    return now_ms() - days * DAY_MS if days else None


def remove_due(before_ms: int | None = None) -> int:
    """Remove some runs, logged models and experiments that were deleted before a time. Return how many runs.

    Parameters
    ----------
    before_ms
        None: as the setting says.
    """
    before_ms = due_before() if before_ms is None else before_ms
    if before_ms is None:
        return 0
    due: dict[str, Any] = {"lifecycle": DELETED, "deleted_ms__lt": before_ms}
    removed = 0
    for number in list(Run.objects.filter(**due).order_by("deleted_ms").values_list("pk", flat=True)[:MOST_AT_ONCE]):
        removed += _remove_run(number, due)
    for number in list(
        LoggedModel.objects.filter(**due).order_by("deleted_ms").values_list("pk", flat=True)[:MOST_AT_ONCE]
    ):
        _remove_logged_model(number, due)
    if removed < MOST_AT_ONCE:
        for number in list(Experiment.objects.filter(**due).values_list("pk", flat=True)[:MOST_AT_ONCE]):
            _remove_experiment(number, due)
    if removed:
        log.info("removed %d runs for good that were deleted before", removed)
    return removed


def _remove_run(number: int, due: dict[str, Any]) -> int:
    owner = Run.objects.filter(pk=number).values_list("owner_id", "token_id").first()
    if owner is None:  # another process has removed it
        return 0
    delete_in_batches(_POINTS, (number,), partial(_delete_points, owner))
    with transaction_for_writing():
        run = Run.objects.select_for_update().filter(pk=number, **due).first()
        if run is None:  # it was restored meanwhile, or another process has removed it
            return 0
        artifacts.delete(Artifact.objects.filter(run=run))
        points = Metric.objects.filter(series__run=run).delete()[0]
        points += sum(map(run_quotas.of_document, run.domains.values_list("document", flat=True).iterator()))
        uid = run.uid
        run.delete()
        quota_usage.release(run_quotas.freed(*owner, runs=1, points=points))
        audit_signals.send("run.remove", uid)
    return 1


def _delete_points(owner: tuple[int | None, int | None], numbers: list[int]) -> int:
    with transaction_for_writing(), connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM tracking_metric WHERE {in_list('id', numbers)}", numbers)
        deleted = int(cursor.rowcount)
        quota_usage.release(run_quotas.freed(*owner, points=deleted))
        return deleted


def _remove_logged_model(number: int, due: dict[str, Any]) -> None:
    with transaction_for_writing():
        model = LoggedModel.objects.select_for_update().filter(pk=number, **due).first()
        if model is not None:
            artifacts.delete(Artifact.objects.filter(model=model))
            audit_signals.send("logged_model.remove", model.uid, before={"name": model.name})
            model.delete()


def _remove_experiment(number: int, due: dict[str, Any]) -> None:
    with transaction_for_writing():
        experiment = Experiment.objects.select_for_update().filter(pk=number, **due).first()
        if experiment is None or Run.objects.filter(experiment=experiment).exists():
            return
        models = LoggedModel.objects.filter(experiment=experiment)
        artifacts.delete(Artifact.objects.filter(model__in=models))
        models.delete()
        name = experiment.name
        experiment.delete()
        audit_signals.send("experiment.remove", str(number), before={"name": name})
