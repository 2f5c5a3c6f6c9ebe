"""Failed cells: a cell whose labels failed is recorded with its structure and the reason, as a cell that a person posts is."""

import logging

from server.calculations import files, states
from server.calculations.models import Calculation, Step, StoredFile
from server.campaigns import ingesting
from server.campaigns.models import RunAttempt
from server.cells import posting
from server.cells.models import Cell
from server.core.errors import TailraceError, Unavailable

logger = logging.getLogger(__name__)

STRUCTURE = "structure.xyz"
"""Name of the file in which the programs before the labels leave the cell."""


def record(attempt: RunAttempt, calculation: Calculation, reason: str) -> None:
    """Record the cell of a calculation whose last step, the labels, failed. Repeated, it changes nothing.

    Nothing is recorded if the cell was never made, or if its structure is not on the server. A cell that can't be recorded,
    such as one beyond a quota, does not stop the campaign.

    Raises
    ------
    Unavailable
        If the database is busy. The next try may succeed.
    """
    run = attempt.run
    stream = run.campaign.stream
    last = calculation.steps.order_by("number").last()
    if stream is None or last is None or last.state not in (states.FAILED, states.UNCONVERGED):
        return
    structure = _structure(calculation, last)
    if structure is None:
        return
    payload = {
        "name": run.cell, "structure": structure, "composition": "" if run.composition is None else run.composition.name,
        "status": Cell.FAILED, "reason": reason[: posting.LONGEST_REASON],
    }  # fmt: skip
    try:
        ingesting.learn(attempt, ingesting.checked(attempt, payload), stream)
    except ingesting.Unusable:
        pass  # recorded
    except Unavailable:
        raise
    except TailraceError as exc:
        logger.warning("the failed cell %s of campaign %s was not recorded: %s", run.cell, run.campaign, exc)


def _structure(calculation: Calculation, last: Step) -> str | None:
    """Return the cell that was to be labeled: that of the step before, or the one that was given; None if it isn't here."""
    before = calculation.steps.filter(number__lt=last.number, result__isnull=False).order_by("number").last()
    if before is None:
        return None if last.structure is None else last.structure.content
    stored = StoredFile.objects.filter(result=before.result_id, name=STRUCTURE, stored=True).first()
    if stored is None:
        return None
    try:
        return files.read(stored).decode()
    except (TailraceError, UnicodeDecodeError) as exc:
        logger.warning("%s of calculation %s can't be read: %s", STRUCTURE, calculation.pk, exc)
        return None
