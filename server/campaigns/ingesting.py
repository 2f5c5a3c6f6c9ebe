"""Ingesting: the cell that a label program left is learned in one transaction, once."""

from typing import Any

from django.db import IntegrityError

from server.calculations import files
from server.calculations.models import Calculation, StoredFile
from server.campaigns import formulas
from server.campaigns.models import RunAttempt
from server.cells import posting
from server.cells.models import Cell
from server.core.errors import Conflict, Invalid, NotFound, TooLarge, Unavailable
from server.core.json_codec import loads
from server.core.validation import Checker, format_value
from server.learning.write_path import learn_points
from server.streams.models import Stream
from server.streams.points import Points
from server.streams.quotas.limits import Owner

FILE = "cell.json"
"""Name of the file that a label program leaves: a body of ``POST /api/v1/streams/STREAM/cells/``."""

WEAKEST, STRONGEST = -10.0, 70.0
"""Labels of real bonds lie between these, eV. The label programs check it, too (`lammps_jobs.bonds.labels.plausibility`)."""


class NotYet(Exception):
    """The agent has not sent the file yet."""


class Unusable(Exception):
    """The cell is not learned. ``cause`` is what such runs are counted by."""

    def __init__(self, cause: str, reason: str) -> None:
        super().__init__(reason)
        self.cause = cause


def ingest(attempt: RunAttempt, calculation: Calculation) -> Cell:
    """Learn the cell of a calculation that is done. Repeated, it finds the cell that was learned before.

    Raises
    ------
    NotYet
        If its file has not arrived.
    Unusable
        If there is no file, or the cell is not the one that was asked for, implausible, or refused by the stream.
    Unavailable
        If the database or the models are busy. The next try may succeed.
    """
    payload = read(attempt, calculation)
    stream = attempt.run.campaign.stream
    if stream is None:
        raise Unusable("stream deleted", f"stream {attempt.run.campaign.stream_name} was deleted")
    try:
        return learn(attempt, payload, stream)
    except (Invalid, TooLarge, NotFound, Conflict) as exc:
        cause = "name taken" if exc.code == "name_taken" else "refused"
        raise Unusable(cause, f"stream {stream.name} refuses the cell: {exc.message}") from exc


def read(attempt: RunAttempt, calculation: Calculation) -> dict[str, Any]:
    """Return the content of the file, with what the campaign knows of the cell."""
    stored = _file(calculation)
    if stored is None:
        raise Unusable(
            "no cell.json",
            f"calculation {calculation.pk} is done and has no file {FILE}: use a label program that leaves one, such as bond-labels",
        )
    try:
        payload = loads(files.read(stored))
    except NotFound as exc:
        raise NotYet(exc.message) from exc
    except ValueError as exc:
        raise Unusable("bad cell.json", f"{FILE} of calculation {calculation.pk} is not JSON: {exc}") from exc
    return checked(attempt, payload)


def _file(calculation: Calculation) -> StoredFile | None:
    last = calculation.steps.order_by("number").last()
    if last is None or last.result_id is None:
        return None
    return StoredFile.objects.filter(result=last.result_id, name=FILE).first()


def checked(attempt: RunAttempt, payload: Any) -> dict[str, Any]:
    """Return a cell with what the campaign knows of it.

    Raises
    ------
    Unusable
        If it isn't the cell of the attempt, or has not the fields of a cell.
    """
    run = attempt.run
    required = ("name", "structure", "composition")
    if type(payload) is not dict or any(name not in payload for name in required):
        raise Unusable(
            "bad cell.json", f"{FILE} is {format_value(payload)}: expected an object with {', '.join(required)}"
        )
    unknown = set(payload) - set(posting.FIELDS)
    if unknown:
        raise Unusable(
            "bad cell.json", f"{FILE} has {', '.join(sorted(unknown))}: expected some of {', '.join(posting.FIELDS)}"
        )
    if payload["name"] != run.cell:
        raise Unusable("another cell", f"{FILE} has the cell {format_value(payload['name'])}: expected {run.cell}")
    if run.composition is not None and formulas.key_of(str(payload["composition"])) != run.composition.key:
        raise Unusable(
            "another composition",
            f"{FILE} has the composition {format_value(payload['composition'])}: expected {run.composition.name}",
        )
    provenance = payload.get("provenance", {})
    if type(provenance) is not dict:
        raise Unusable("bad cell.json", f"provenance is {format_value(provenance)}: expected an object")
    own = {"campaign": run.campaign.name, "run": run.number, "calculation": attempt.calculation_number}
    if run.deformation is not None:
        own |= {"family": run.family or run.cell, "deformation": run.deformation}
    return payload | {"provenance": provenance | own}


def learn(attempt: RunAttempt, payload: dict[str, Any], stream: Stream) -> Cell:
    """Learn a checked cell, or record that it failed.

    Raises
    ------
    Unusable
        If it failed, or a label is implausible; it is stored as a failed cell.
    Invalid, TooLarge, Conflict, NotFound, Unavailable
        As posting a cell does.
    """
    campaign = attempt.run.campaign
    owner = None if campaign.owner_id is None else Owner(campaign.owner_id, campaign.created_by)
    said = _implausible(payload)
    if said:
        payload = {name: value for name, value in payload.items() if name != "observations"}
        payload |= {"status": Cell.FAILED, "reason": said}
    cell = posting.checked(payload)
    cell.stream, cell.created_by = stream, campaign.created_by
    cell.fingerprint = posting.fingerprint(payload)
    if cell.status == Cell.FAILED:
        posting.record_failure(cell, owner)
        raise Unusable("implausible label" if said else "label failed", cell.reason)
    points = _points(payload["observations"], stream)
    cell.types = posting.types_of(points.xs, stream.segment)
    keeper = posting.CellAttachment(cell, owner)
    try:
        learn_points.learn(stream.pk, points, descriptor=payload.get("descriptor"), attachment=keeper)
    except IntegrityError as exc:
        raise Unavailable(f"cell {cell.name} is being stored by another process; try again") from exc
    return keeper.cell


def _implausible(payload: dict[str, Any]) -> str:
    """Return what is implausible about the labels; empty if nothing is."""
    observations = payload.get("observations")
    for index, one in enumerate(observations if type(observations) is list else ()):
        y = one.get("y") if type(one) is dict else None
        if isinstance(y, (int, float)) and not WEAKEST <= y <= STRONGEST:
            return (
                f"observations[{index}].y is {y:g} eV: a bond has {WEAKEST:g} to {STRONGEST:g}, so the calculation converged to an "
                "impossible state, and none of its labels is learned"
            )
    return ""


def _points(observations: list[Any], stream: Stream) -> Points:
    check = Checker(stream.features, stream.target_kind)
    points = Points([], [], {})
    for index, one in enumerate(observations):
        if type(one) is not dict or set(one) != {"x", "y"}:
            raise Invalid(
                f"observations[{index}] is {format_value(one)}: expected x and y", field=f"observations[{index}]"
            )
        check.x(one["x"], f"observations[{index}].x")
        check.y(one["y"], f"observations[{index}].y")
        points.xs.append(one["x"])
        points.ys.append(one["y"])
    return points
