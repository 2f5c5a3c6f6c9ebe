"""What the report of a calculation holds: values, tables, pictures and provenance.

Only validated results are in a report. A step without one is named with its state and the reason.
"""

import json
from datetime import UTC, datetime
from typing import Any

from server.calculations import files, reading
from server.calculations.models import Calculation, StoredFile
from server.core.errors import NotFound

PICTURES = {"png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "gif": "image/gif", "webp": "image/webp"}
"""Media types of pictures by the endings of their names."""

MOST_ROWS = 200
"""Most rows of a table on a page. The RO-Crate has all."""

MOST_PICTURES = 16 * 2**20
"""Most bytes of pictures on a page."""


def report(calculation: Calculation) -> dict[str, Any]:
    """Return the report of a calculation as data."""
    chain = reading.chain(calculation)
    return {
        **reading.summary(calculation),
        "description": calculation.description,
        "approved_by": calculation.approved_by or None,
        "fingerprint": calculation.fingerprint,
        "made_at": datetime.now(UTC),
        "results": [_of_step(step) for step in chain],
        "transitions": reading.transitions(calculation),
    }


def _of_step(step: dict[str, Any]) -> dict[str, Any]:
    result = step["result"]
    attempt = next(
        (one for one in step["attempts"] if result and one["result"] and one["result"]["id"] == result["id"]), None
    )
    shown = {name: step[name] for name in ("name", "program", "state", "reason", "structure", "parents", "resources")}
    shown["parameters"] = step["parameters"] | step["corrections"]
    shown["corrections"] = step["corrections"]
    for name in ("values", "tables", "analyses", "files", "kept"):
        shown[name] = result[name] if result else ({} if name in ("values", "tables") else [])
    shown["left_out"] = bool(result and result["left_out"])
    shown["report"] = result["report"] if result else ""
    shown["provenance"] = attempt and {
        **{name: attempt[name] for name in ("fence", "cluster", "version", "host", "job")},
        "began": result["began"],
        "ended": result["ended"],
        "attempts": len(step["attempts"]),
    }
    return shown


def shown(calculation: Calculation) -> dict[str, Any]:
    """Return the report with three more lists for each step.

    Returns
    -------
    dict
        As :func:`report` gives it. Each step has ``shown_tables`` (name, columns, rows, left_out),
        ``parameters_shown`` (name and JSON), and ``pictures`` (name, kind, content in bytes).
    """
    data = report(calculation)
    left = MOST_PICTURES
    stored = stored_files(calculation)
    for step in data["results"]:
        step["pictures"] = []
        for file in step["files"]:
            found = stored.get((step["name"], file["name"]))
            kind = PICTURES.get(file["name"].rpartition(".")[2].lower())
            if found is None or kind is None or not file["stored"] or file["size"] > left:
                continue
            try:
                content = files.read(found)
            except NotFound:
                continue
            left -= len(content)
            step["pictures"].append({"name": file["name"], "kind": kind, "content": content})
        step["shown_tables"] = [_table("", name, table) for name, table in step["tables"].items()]
        for analysis in step["analyses"]:
            own = (analysis.get("tables") or {}).items()
            step["shown_tables"] += [_table(analysis["name"], name, table) for name, table in own]
        step["parameters_shown"] = [
            (name, json.dumps(value, ensure_ascii=False)) for name, value in step["parameters"].items()
        ]
    return data


def _table(analysis: str, name: str, table: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": f"{analysis}: {name}" if analysis else name,
        "columns": table["columns"],
        "rows": table["rows"][:MOST_ROWS],
        "left_out": max(0, len(table["rows"]) - MOST_ROWS),
    }


def stored_files(calculation: Calculation) -> dict[tuple[str, str], StoredFile]:
    """Return the stored files of the results that count, by step and name."""
    found = StoredFile.objects.filter(result__attempt__step__calculation=calculation, stored=True)
    counted = found.filter(result__attempt__step__result__isnull=False).select_related("result__attempt__step")
    return {
        (one.result.attempt.step.name, one.name): one
        for one in counted
        if one.result.attempt.step.result_id == one.result_id
    }
