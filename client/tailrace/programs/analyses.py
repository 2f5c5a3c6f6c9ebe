"""Runs analyses in their order. One that fails says so, and those that need it are skipped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tailrace.errors import Unusable
from tailrace.programs.program import Analysis
from tailrace.programs.results import Results
from tailrace.programs.step import Step
from tailrace.similar_names import did_you_mean, join_names

__all__ = ["analyses_in_order", "run_analyses"]

EMPTY: dict[str, Any] = {"values": {}, "tables": {}, "files": [], "report": ""}


def analyses_in_order(known: Sequence[Analysis], names: Iterable[str]) -> list[Analysis]:
    """Returns the named analyses, each after those that it requires.

    Raises
    ------
    Unusable
        If a name is unknown, if a required analysis is not named, or if analyses require each other in a circle.
    """
    by_name = {one.name: one for one in known}
    wanted = list(dict.fromkeys(names))
    for name in wanted:
        if name not in by_name:
            raise Unusable(
                f"there is no analysis {name!r}{did_you_mean(name, by_name)}: expected {join_names(by_name)}"
            )
        if missing := [one for one in by_name[name].requires if one not in wanted]:
            raise Unusable(f"the analysis {name!r} requires {join_names(missing)}: add them, or leave it out")
    ordered: list[Analysis] = []
    waiting = [one for one in known if one.name in wanted]
    while waiting:
        ready = [one for one in waiting if all(by_name[name] in ordered for name in one.requires)]
        if not ready:
            raise Unusable(f"the analyses {join_names(one.name for one in waiting)} require each other in a circle")
        ordered += ready
        waiting = [one for one in waiting if one not in ready]
    return ordered


def run_analyses(known: Sequence[Analysis], step: Step, folder: Path, results: Results) -> list[dict[str, Any]]:
    """Run the step's analyses, and return one report for each, as JSON.

    Each has ``name``, ``state`` (``done``, ``failed`` or ``skipped``), ``reason``, ``values``, ``tables``, ``files``
    and ``report``. Raises Unusable like `analyses_in_order`.
    """
    reports: list[dict[str, Any]] = []
    done: set[str] = set()
    for analysis in analyses_in_order(known, step.analyses):
        head = {"name": analysis.name, "state": "done", "reason": ""}
        if missing := [name for name in analysis.requires if name not in done]:
            reason = f"it requires {join_names(missing)}, which gave no results"
            reports.append({**head, "state": "skipped", "reason": reason, **EMPTY})
            continue
        try:
            content = analysis.run(step, folder, results).to_json()
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"[:2000]
            reports.append({**head, "state": "failed", "reason": reason, **EMPTY})
            continue
        done.add(analysis.name)
        reports.append({**head, **content})
    return reports
