"""The state of the server: what an operator would look for in ``/metrics`` and ``/readyz``, drawn."""

import shutil
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection
from django.http import HttpRequest, HttpResponse

from server.core import build_info
from server.core.db.locks import to_unavailable
from server.core.db.readiness import READINESS, SERVING_STATES
from server.core.errors import Forbidden
from server.core.metrics import declarations, totals
from server.core.metrics.totals import Totals
from server.dashboard import access, live
from server.dashboard.rendering import page
from server.learning.models import Arithmetic, Model, Snapshot
from server.streams.models import Stream
from server.streams.quotas import quota_usage

PHASES = {
    "lock": "Wait for the stream's lock",
    "catch_up": "Read what others have learned",
    "fold": "Predict, score and learn",
    "commit": "Write and commit",
}
COUNTERS = {
    declarations.observations: "Observations learned",
    declarations.duplicates: "Repeats, answered as the first time",
    declarations.spooled: "Observations that clients delivered late, from their spool",
    declarations.snapshots: "Snapshots written",
    declarations.quarantines: "Models put into quarantine",
    declarations.quota_refusals: "Requests refused because a quota is used up",
    declarations.database_errors: "Failures of the database",
    declarations.maintenance_failures: "Failures of background maintenance",
}
BAD = (declarations.database_errors, declarations.maintenance_failures)


def system(request: HttpRequest) -> HttpResponse:
    """GET: processes, database, commits, counters, versions.

    Raises
    ------
    Forbidden
        If the person may see some streams only: the page is about the whole server.
    """
    if access.only_streams(request) is not None:
        raise Forbidden("this page is about the whole server, and you may see some of its streams only")
    shown = _shown()
    shown["version"] = live.version(shown)
    same = live.unchanged(request, shown["version"])
    return same or page(request, "system_part" if live.is_part(request) else "system", **shown)


def _shown() -> dict[str, Any]:
    sums = totals.totals()
    state = READINESS.state()
    ready = state.status in SERVING_STATES
    return {
        "state": state.status,
        "reason": state.reason,
        "ready": ready,
        "processes": _processes(),
        "workers": settings.TAILRACE.workers,
        "memory_limit": settings.TAILRACE.replica_memory_mb * 2**20,
        "phases": _phases(sums),
        "calls": _calls(sums),
        "counters": [
            (words, sum(sums.get(counter.name, {}).values()), counter in BAD) for counter, words in COUNTERS.items()
        ],
        "failed_requests": _failed_requests(sums),
        "database": _database() if ready else None,
        "build": build_info.build(),
        "libraries": build_info.libraries(),
        "metrics_off": settings.TAILRACE.metrics == "off",
    }


def _processes() -> list[dict[str, float]]:
    names = (declarations.resident_bytes, declarations.replicas, declarations.replica_bytes)
    found = [
        {gauge.name.removeprefix("tailrace_"): gauges[gauge.name] for gauge in names}
        for gauges in totals.gauges_by_process()
    ]
    most = max((one["resident_memory_bytes"] for one in found), default=0.0)
    return [{**one, "percent": 100 * one["resident_memory_bytes"] / most if most else 0.0} for one in found]


def _phases(sums: Totals) -> list[dict[str, Any]]:
    """Return the phases of a commit with their mean durations, and how long they are of the longest."""
    durations = totals.durations(declarations.commit_seconds, sums)
    found: list[dict[str, Any]] = []
    for phase, words in PHASES.items():
        count, total = durations.get((phase,), (0.0, 0.0))
        found.append(
            {
                "words": words,
                "count": int(count),
                "mean": 1000 * total / count if count else None,
                "most": _milliseconds(totals.quantile(declarations.commit_seconds, (phase,), 0.99, sums)),
            }
        )
    longest = max((one["mean"] or 0.0 for one in found), default=0.0)
    return [{**one, "percent": 100 * (one["mean"] or 0.0) / longest if longest else 0.0} for one in found]


def _calls(sums: Totals) -> list[dict[str, Any]]:
    durations = totals.durations(declarations.request_seconds, sums)
    return [
        {
            "call": labels[0],
            "count": int(count),
            "mean": 1000 * total / count if count else None,
            "most": _milliseconds(totals.quantile(declarations.request_seconds, labels, 0.99, sums)),
        }
        for labels, (count, total) in sorted(durations.items())
    ]


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else 1000 * seconds


def _failed_requests(sums: Totals) -> int:
    series = sums.get(declarations.requests.name, {})
    return int(sum(value for (_, _, status), value in series.items() if status.startswith("5")))


def _database() -> dict[str, Any] | None:
    """Return what the database holds; None if it fails meanwhile."""
    try:
        if connection.vendor == "sqlite":
            path = Path(str(settings.DATABASES["default"]["NAME"]))
            version, size = "SQLite " + _one("SELECT sqlite_version()"), path.stat().st_size if path.exists() else None
        else:
            version = "PostgreSQL " + str(_one("SHOW server_version")).partition(" ")[0]
            size = _one("SELECT pg_database_size(current_database())")
        return {
            "version": version,
            "size": size,
            "free": shutil.disk_usage(settings.TAILRACE.var_dir).free,
            "streams": Stream.objects.count(),
            "models": Model.objects.count(),
            "snapshots": Snapshot.objects.count(),
            "arithmetic": Arithmetic.objects.first(),
            "quotas": [(*key, count) for key, count in quota_usage.count_owners().items() if count],
        }
    except (DatabaseError, InterfaceError) as exc:
        to_unavailable(exc)
        return None


def _one(query: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetchone()[0]
