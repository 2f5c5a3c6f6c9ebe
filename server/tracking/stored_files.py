"""Files of runs and of logged models, by the places that MLflow's clients name."""

from typing import Any, BinaryIO

from django.db.models import QuerySet

from server.contents.contents import Received
from server.core import audit_signals
from server.core.errors import Conflict, Invalid, NotFound
from server.core.validation import format_value
from server.streams.quotas.limits import Owner
from server.tracking import artifacts, logged_models, runs
from server.tracking.locations import Place
from server.tracking.models import Artifact, LoggedModel, Run
from server.tracking.models.names import DELETED


def owner(place: Place) -> Run | LoggedModel:
    """Return the run or the logged model of a place.

    Raises
    ------
    NotFound
        If there is none, or it is of another experiment.
    """
    found: Run | LoggedModel = runs.find(place.run) if place.run else logged_models.find(place.model)
    if place.experiment not in (None, found.experiment_id):
        raise NotFound(
            f"experiment {place.experiment} has no {'run' if place.run else 'model'} {found.uid}", field="path"
        )
    return found


def _rows(of: Run | LoggedModel) -> QuerySet[Artifact]:
    return Artifact.objects.filter(run=of) if isinstance(of, Run) else Artifact.objects.filter(model=of)


def put(of: Run | LoggedModel, path: str, received: Received, payer: Owner | None) -> None:
    """Store a file of a run or a logged model, in place of an earlier one at the same path.

    Parameters
    ----------
    payer
        Whose quota counts it.

    Raises
    ------
    Invalid, TooLarge
        If the path is that of a folder, or below a file, or not valid; if the file is too large.
    Conflict
        If the run is deleted.
    QuotaExceeded, Unavailable
        If it can't be stored now.
    """
    if of.lifecycle == DELETED:
        raise Conflict(f"run {of.uid} is deleted: restore it first", field="run", code="deleted")
    _check_free(of, path)
    if isinstance(of, Run):
        artifacts.put(path, received, run_id=of.pk, owner=payer)
    else:
        artifacts.put(path, received, model_id=of.pk, owner=payer)


def _check_free(of: Run | LoggedModel, path: str) -> None:
    parts = path.split("/")
    above = ["/".join(parts[:number]) for number in range(1, len(parts))]
    file = _rows(of).filter(path__in=above).first()
    if file is not None:
        raise Invalid(f"path is {format_value(path)}: {file.path} is a file, not a folder", field="path")
    inside = _rows(of).filter(path__startswith=f"{path}/").values_list("path", flat=True)[:100]
    if any(one.startswith(f"{path}/") for one in inside):
        raise Invalid(f"path is {format_value(path)}: that is a folder", field="path")


def listing(of: Run | LoggedModel, folder: str) -> list[dict[str, Any]]:
    """Return the files that have arrived, and the folders, in a folder; "" for all. A file has none."""
    return artifacts.listing(_rows(of).filter(stored=True), folder)


def open_file(of: Run | LoggedModel, path: str) -> tuple[BinaryIO, int]:
    """Open a file for reading, and return it with its size in bytes.

    Raises
    ------
    NotFound
        If there is no such file, or its content has not arrived or is missing.
    Unavailable
        If the place of contents can't be reached.
    """
    found = artifacts.find(_rows(of), path)
    return artifacts.open_content(found), found.size


def delete(of: Run | LoggedModel, path: str) -> None:
    """Delete a file, or a folder with all that is in it; "" for all files. Repeated, nothing changes."""
    rows = _rows(of)
    prefix = f"{path}/" if path else ""
    inside = rows.filter(path__startswith=prefix) if prefix else rows
    names = [one for one in inside.values_list("path", flat=True) if one.startswith(prefix)]
    names += [path] if path else []
    count = 0
    for first in range(0, len(names), 500):
        count += artifacts.delete(rows.filter(path__in=names[first : first + 500]))
    if count:
        audit_signals.send("artifacts.delete", of.uid, before={"path": path, "files": count})
