"""Columns of tables of runs: params, metrics and tags that people choose, and how their values are shown."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from django.http import HttpRequest

from server.core.errors import Invalid
from server.core.validation import format_value
from server.tracking import reading
from server.tracking.models import Run
from server.tracking.models.names import DELETED
from server.tracking.summaries import Summary

MOST_CHOSEN = 60
FIRST_PARAMS, FIRST_METRICS = 4, 6
"""How many params and metrics a table shows if nobody chose columns."""

TONES = {"FINISHED": "good", "FAILED": "bad", "KILLED": "bad", "RUNNING": "busy", "SCHEDULED": "quiet"}
"""How a status is shown."""


class Column(NamedTuple):
    """A column: ``metrics.loss`` as the address has it, its part, its key, and whether it is shown."""

    name: str
    part: str
    key: str
    shown: bool


def known(logged: Iterable[Summary]) -> list[str]:
    """Return the columns that runs have: params, metrics and tags by name, without those that MLflow's clients make."""
    keys: dict[str, set[str]] = {part: set() for part in reading.PARTS}
    for one in logged:
        for part in reading.PARTS:
            keys[part].update(getattr(one, part))
    return [f"{part}.{key}" for part in reading.PARTS for key in sorted(keys[part]) if not key.startswith("mlflow.")]


def chosen(request: HttpRequest, there: Sequence[str]) -> list[Column]:
    """Return the columns that the address chooses, or the first ones; then the others that these runs have.

    Raises
    ------
    Invalid
        If the address has too many columns, or one that is none.
    """
    names = list(dict.fromkeys(name for name in request.GET.getlist("column") if name))
    if len(names) > MOST_CHOSEN:
        raise Invalid(f"{len(names)} columns are chosen: expected at most {MOST_CHOSEN}", field="column")
    for name in names:
        part, _, key = name.partition(".")
        if part not in reading.PARTS or not key or len(name) > 300:
            raise Invalid(
                f"column is {format_value(name)}: expected params.KEY, metrics.KEY or tags.KEY", field="column"
            )
    if not names:
        params = [name for name in there if name.startswith("params.")]
        metrics = [name for name in there if name.startswith("metrics.")]
        names = [*params[:FIRST_PARAMS], *metrics[:FIRST_METRICS]]
    others = [name for name in there if name not in names]
    return [column(name, shown=name in names) for name in [*names, *others]]


def column(name: str, *, shown: bool = True) -> Column:
    """Return a column by its name."""
    part, _, key = name.partition(".")
    return Column(name, part, key, shown)


def row(run: Run, logged: Summary, columns: Iterable[Column]) -> dict[str, Any]:
    """Return a run as a row of a table."""
    return {
        "uid": run.uid,
        "shown_name": run.name or run.uid[:8],
        "status": run.status,
        "tone": TONES.get(run.status, ""),
        "started": moment(run.started_ms),
        "took": None if run.ended_ms is None else max(0.0, (run.ended_ms - run.started_ms) / 1000),
        "user": run.user_name or run.created_by,
        "is_deleted": run.lifecycle == DELETED,
        "values": {one.name: getattr(logged, one.part).get(one.key) for one in columns if one.shown},
    }


def moment(milliseconds: int | None) -> datetime | None:
    """Return a time of tracking, milliseconds since 1970; None for one that no calendar has."""
    if milliseconds is None:
        return None
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        return None
