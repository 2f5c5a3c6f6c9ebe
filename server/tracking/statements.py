"""SQL that writes params, tags and metrics of a run: few statements, whatever their number."""

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any, NamedTuple

from django.db import connection

from server.core.db.locks import is_sqlite

ROWS = 200
"""Rows of one statement on SQLite, which limits the number of parameters."""


class Point(NamedTuple):
    """A point of a metric, as it is stored (:mod:`server.tracking.values`)."""

    key: str
    step: int
    time_ms: int
    value: float
    special: int = 0


_NEWER = "(excluded.step, excluded.time_ms, excluded.value, excluded.special) > (held.step, held.time_ms, held.value, held.special)"
_SERIES = (
    "INSERT INTO tracking_latestmetric AS held (run_id, key, step, time_ms, value, special) {} "
    "ON CONFLICT (run_id, key) DO UPDATE SET "
    + ", ".join(
        f"{name} = CASE WHEN {_NEWER} THEN excluded.{name} ELSE held.{name} END"
        for name in ("step", "time_ms", "value", "special")
    )
    + " RETURNING id, key"
)
_POINTS_SQLITE = (
    "INSERT OR IGNORE INTO tracking_metric (series_id, step, time_ms, value, special) VALUES (%s, %s, %s, %s, %s)"
)
_POSTGRESQL = (
    "WITH given AS (SELECT * FROM unnest(%s, %s::bigint[], %s::bigint[], %s::float8[], %s::smallint[])"
    " WITH ORDINALITY AS g (key, step, time_ms, value, special, number)), series AS ("
    + _SERIES.format("SELECT %s, key, step, time_ms, value, special FROM given ORDER BY key")
    + ") INSERT INTO tracking_metric (series_id, step, time_ms, value, special)"
    " SELECT series.id, p.step, p.time_ms, p.value, p.special"
    " FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::float8[], %s::smallint[])"
    " AS p (number, step, time_ms, value, special) JOIN given USING (number) JOIN series USING (key)"
    " ON CONFLICT DO NOTHING"
)


def write_points(run_id: int, points: Sequence[Point]) -> int:
    """Store points of metrics, and their latest ones. The caller has locked the run. Points that are there stay as they are.

    Return how many are new.
    """
    latest: dict[str, Point] = {}
    for point in points:
        held = latest.get(point.key)
        if held is None or point[1:] > held[1:]:
            latest[point.key] = point
    with connection.cursor() as cursor:
        if is_sqlite():
            series = {}
            for some in _in_parts(latest.values()):
                places = ", ".join(["(%s, %s, %s, %s, %s, %s)"] * len(some))
                values = [value for point in some for value in (run_id, *point)]
                cursor.execute(_SERIES.format(f"VALUES {places}"), values)
                series.update({key: number for number, key in cursor.fetchall()})
            cursor.executemany(_POINTS_SQLITE, [(series[point.key], *point[1:]) for point in points])
            return int(cursor.rowcount)
        numbers = {key: number for number, key in enumerate(latest, 1)}
        newest, whole = list(zip(*latest.values(), strict=True)), list(zip(*points, strict=True))
        keys = [numbers[key] for key in whole[0]]
        cursor.execute(
            _POSTGRESQL,
            (list(newest[0]), *map(_array, newest[1:]), run_id, _array(keys), *map(_array, whole[1:])),
        )
        return int(cursor.rowcount)


def _array(numbers: Sequence[float]) -> str:
    """Return an array of numbers as PostgreSQL reads it, which takes the driver a tenth of the time of a list."""
    return f"{{{','.join(map(repr, numbers))}}}"


def _in_parts(rows: Iterable[Any]) -> Iterable[list[Any]]:
    rows = iter(rows)
    while some := list(islice(rows, ROWS)):
        yield some


def write_tags(run_id: int, tags: dict[str, str]) -> None:
    """Store tags of a run, in place of those with the same keys."""
    _write(
        "INSERT INTO tracking_runtag (run_id, key, value) VALUES {}"
        " ON CONFLICT (run_id, key) DO UPDATE SET value = excluded.value",
        run_id,
        sorted(tags.items()),
    )


def write_params(run_id: int, params: dict[str, str]) -> None:
    """Store params of a run. Those that are there stay as they are."""
    _write(
        "INSERT INTO tracking_param (run_id, key, value) VALUES {} ON CONFLICT (run_id, key) DO NOTHING",
        run_id,
        sorted(params.items()),
    )


def read_params(run_id: int, keys: Iterable[str]) -> dict[str, str]:
    """Return those of these params that a run has."""
    found: dict[str, str] = {}
    with connection.cursor() as cursor:
        for some in _in_parts(keys):
            places = ", ".join(["%s"] * len(some))
            cursor.execute(
                f"SELECT key, value FROM tracking_param WHERE run_id = %s AND key IN ({places})", (run_id, *some)
            )
            found.update(cursor.fetchall())
    return found


def _write(sql: str, run_id: int, rows: Sequence[tuple[str, str]]) -> None:
    with connection.cursor() as cursor:
        for some in _in_parts(rows):
            places = ", ".join(["(%s, %s, %s)"] * len(some))
            cursor.execute(sql.format(places), [value for row in some for value in (run_id, *row)])
