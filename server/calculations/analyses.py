"""Analyses of results, the newest first."""

from typing import Any

from server.calculations.models import Result
from server.core.json_codec import loads

MOST_ROWS = 100
MOST_READ, MOST_BYTES = 2_000, 16 * 2**20
"""Most results that a page looks through, and bytes of analyses that it reads."""


def page(name: str | None, before: int | None) -> tuple[list[dict[str, Any]], int | None]:
    """Return analyses of the results that count, and ``before`` of the next page (None: no more).

    Parameters
    ----------
    name
        Only analyses with this name.
    before
        Only results before this number.
    """
    rows = Result.objects.filter(attempt__step__result__isnull=False).order_by("-pk")
    rows = rows if before is None else rows.filter(pk__lt=before)
    rows = rows.select_related("attempt__step__calculation").defer("values", "tables", "kept", "report")
    found: list[dict[str, Any]] = []
    read = 0
    looked: Result | None = None
    for number, result in enumerate(rows[:MOST_READ].iterator(chunk_size=50), 1):
        looked = result
        step = result.attempt.step
        read += len(result.analyses)
        if step.result_id == result.pk and result.analyses != "[]":
            own = [one for one in loads(result.analyses) if name in (None, one["name"])]
            found += [_described(one, result) for one in own]
        if len(found) >= MOST_ROWS or read > MOST_BYTES or number == MOST_READ:
            return found, looked.pk
    return found, None


def _described(analysis: dict[str, Any], result: Result) -> dict[str, Any]:
    step = result.attempt.step
    return {
        **{name: analysis[name] for name in ("name", "state", "reason")},
        "report": analysis.get("report") or "",
        "values": analysis.get("values") or {},
        "program": step.program,
        "step": step.name,
        "calculation": {"id": step.calculation_id, "name": step.calculation.name},
        "at": result.accepted_at,
    }
