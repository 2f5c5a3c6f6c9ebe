"""Summaries of runs: params, latest metrics and tags of a run as JSON, so that lists of thousands of runs are one read.

They are derived. A write to a run marks its summary as old; it is made again when the run ends, or in the background
when the run has been quiet for a while. Lists read old ones from the tables themselves.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from django.db import connection

from server.core.db.locks import is_sqlite, transaction_for_writing
from server.core.json_codec import dumps_text
from server.tracking import values
from server.tracking.clock import now_ms
from server.tracking.models import LatestMetric, Param, Run, RunTag

QUIET_MS, MOST_AT_ONCE = 60_000, 200


class Summary(NamedTuple):
    """What a run logged: params, latest metrics and tags, by key."""

    params: dict[str, str]
    metrics: dict[str, Any]
    tags: dict[str, str]


def read(numbers: Iterable[int]) -> dict[int, Summary]:
    """Return the summaries of runs by their ``pk``, from the tables of what they logged."""
    found = {number: Summary({}, {}, {}) for number in numbers}
    wanted = list(found)
    for first in range(0, len(wanted), 500):
        some = wanted[first : first + 500]
        for run, key, value in Param.objects.filter(run__in=some).order_by("key").values_list("run", "key", "value"):
            found[run].params[key] = value
        rows = LatestMetric.objects.filter(run__in=some).order_by("key")
        for run, key, number, special in rows.values_list("run", "key", "value", "special"):
            found[run].metrics[key] = values.shown(number, special)
        for run, key, value in RunTag.objects.filter(run__in=some).order_by("key").values_list("run", "key", "value"):
            found[run].tags[key] = value
    return found


def refresh(numbers: Iterable[int]) -> None:
    """Make the summaries of these runs again. Runs that are being written to are left out."""
    with transaction_for_writing():
        wanted = sorted(numbers)
        rows = Run.objects.filter(pk__in=wanted, summarized=False)
        if not is_sqlite():
            rows = rows.select_for_update(skip_locked=True)
        held = list(rows.values_list("pk", flat=True))
        _write(read(held))
        Run.objects.filter(pk__in=held).update(summarized=True)


def _write(found: Mapping[int, Summary]) -> None:
    sql = (
        "INSERT INTO tracking_runsummary (run_id, params, metrics, tags) VALUES (%s, %s, %s, %s)"
        " ON CONFLICT (run_id) DO UPDATE SET params = excluded.params, metrics = excluded.metrics, tags = excluded.tags"
    )
    with connection.cursor() as cursor:
        cursor.executemany(sql, [(number, *map(dumps_text, one)) for number, one in found.items()])


def refresh_quiet() -> int:
    """Make the summaries again of runs that nothing was sent to for a minute. Return how many."""
    quiet = Run.objects.filter(summarized=False, heard_ms__lt=now_ms() - QUIET_MS).order_by("heard_ms")
    numbers = list(quiet.values_list("pk", flat=True)[:MOST_AT_ONCE])
    if numbers:
        refresh(numbers)
    return len(numbers)
