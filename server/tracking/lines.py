"""Numbered lines of a spool: what a training logged, sent until it has arrived, stored once.

A writer is a spool file of one process. The server knows the number of its next line, so lines that arrive again are
ignored, and a gap is refused. What can't be stored of a line is refused with the reason, and the rest of it is stored:
a line that is not valid now never becomes valid, and the lines behind it must not wait for it.
"""

from collections.abc import Callable
from hashlib import sha256
from typing import Any, NamedTuple

from django.db import connection

from server.core.errors import Conflict, Invalid, TailraceError
from server.core.json_codec import dumps_text
from server.core.validation import check_text, format_value
from server.streams.quotas.limits import Owner
from server.tracking import (
    artifacts,
    checks,
    feed_queue,
    links,
    run_quotas,
    runs,
    statements,
    summaries,
    unneeded,
    values,
    writing,
)
from server.tracking.models import DomainRecord, Run
from server.tracking.statements import Point
from server.tracking.writing import LockedRun

MOST_LINES, LONGEST_WRITER = 5_000, 64
LARGEST_DOCUMENT = 2**20
"""Most characters of the JSON of one record of a domain."""

MOST_REASONS = 100
"""Most refused lines that an answer tells of, each with its first reason."""


class Taken(NamedTuple):
    """What became of lines: the number of the next line, and those that were refused with the reason."""

    next: int
    refused: list[dict[str, Any]]


class Gap(Conflict):
    """The first line is not the next one."""

    code = "gap"

    def __init__(self, first: int, expected: int) -> None:
        super().__init__(
            f"the lines begin at {first}, but the next one is {expected}: send from {expected}", field="first"
        )
        self.next = expected


def take(uid: Any, writer: Any, first: Any, lines: Any, owner: Owner | None = None) -> Taken:
    """Store lines of a spool. They are stored all together, or, if this raises, none of them.

    Parameters
    ----------
    uid
        The run.
    writer
        Name of the spool file, at most 64 characters.
    first
        Number of the first line, from 0.
    lines
        At most 5,000 objects with a ``kind``.
    owner
        Whose quota counts artifacts.

    Raises
    ------
    NotFound
        If there is no such run.
    Gap, Conflict
        If lines before the first are missing; if the run is deleted.
    QuotaExceeded
        If the quota of the run's owner is used up.
    Invalid
        If the request is not valid. What is wrong with a line is told in the answer instead.
    """
    if not check_text(writer, "writer", LONGEST_WRITER):
        raise Invalid(f"writer is empty: expected 1 to {LONGEST_WRITER} characters", field="writer")
    if checks.whole(first, "first") < 0:
        raise Invalid(f"first is {first}: expected 0 or more", field="first")
    if type(lines) is not list or len(lines) > MOST_LINES:
        what = f"a list of {len(lines)}" if type(lines) is list else format_value(lines)
        raise Invalid(f"lines is {what}: expected a list of at most {MOST_LINES} objects", field="lines")
    with writing.locked(uid) as run:
        expected = _next(run, writer)
        if first > expected:
            raise Gap(first, expected)
        after = max(expected, first + len(lines))
        batch = _Batch(run, owner)
        for number, line in enumerate(lines[expected - first :], expected):
            batch.add(number, line)
        batch.store()
        if after > expected:
            _advance(run, writer, after)
    unneeded.forget((run.uid, sha256) for sha256 in batch.dropped)
    if batch.has_ended:
        summaries.refresh([run.pk])
    return Taken(after, [{"number": number, "why": why} for number, why in list(batch.refused.items())[:MOST_REASONS]])


def next_line(run: Run, writer: str) -> int:
    """Return the number of the next line of a writer; 0 for one that has sent none."""
    found = run.writers.filter(writer=writer).values_list("next", flat=True).first() if "\x00" not in writer else None
    return found or 0


def _next(run: LockedRun, writer: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT next FROM tracking_writer WHERE run_id = %s AND writer = %s", (run.pk, writer))
        row = cursor.fetchone()
    return 0 if row is None else int(row[0])


def _advance(run: LockedRun, writer: str, after: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO tracking_writer (run_id, writer, next) VALUES (%s, %s, %s)"
            " ON CONFLICT (run_id, writer) DO UPDATE SET next = excluded.next",
            (run.pk, writer, after),
        )


class _Batch:
    """Lines that are being read, and what is to be stored of them."""

    def __init__(self, run: LockedRun, owner: Owner | None) -> None:
        self.run, self.owner = run, owner
        self.refused: dict[int, str] = {}
        self.has_ended = False
        self.dropped: list[str] = []
        """SHA-256 of artifacts that were replaced."""
        self._points: list[Point] = []
        self._params: dict[str, tuple[int, str]] = {}
        self._tags: dict[str, str] = {}
        self._of_records = 0
        """Points that stored records of domains count as."""
        self._keys: set[str] = set()
        """Keys of metrics that were checked."""

    def add(self, number: int, line: Any) -> None:
        """Read a line. If a part of it is not valid, note why, and take the rest."""
        kind = line.get("kind") if type(line) is dict else None
        take = _TAKERS.get(kind) if isinstance(kind, str) else None
        if take is None:
            what = format_value(line) if type(line) is not dict else f"of kind {format_value(kind)}"
            self._refuse(number, f"the line is {what}: expected an object with kind, one of {', '.join(_TAKERS)}")
            return
        try:
            take(self, number, line)
        except TailraceError as exc:
            self._refuse(number, exc.message)

    def _refuse(self, number: int, why: str) -> None:
        self.refused.setdefault(number, why)

    def store(self) -> None:
        """Store what was taken."""
        self._store_params()
        self.run.ledger.add(self._of_records)
        writing.log_metrics(self.run, self._points)
        writing.log_tags(self.run, self._tags)

    def _store_params(self) -> None:
        held = statements.read_params(self.run.pk, self._params) if self._params else {}
        for key, (number, value) in self._params.items():
            if held.get(key, value) != value:
                self._refuse(number, _changed(key, held[key], value))
        statements.write_params(self.run.pk, {k: value for k, (_, value) in self._params.items() if k not in held})

    def metrics(self, number: int, line: dict[str, Any]) -> None:
        step, time_ms, given = line.get("step", 0), line.get("time_ms"), line.get("values")
        if type(step) is not int or type(time_ms) is not int or not 0 <= step < 2**62 or not 0 <= time_ms < 2**62:
            step, time_ms = checks.whole(step, "step"), checks.whole(time_ms, "time_ms")
        if type(given) is not dict:
            raise Invalid(f"values is {format_value(given)}: expected an object of keys and numbers")
        points, keys = self._points, self._keys
        for key, value in given.items():
            if type(value) is float and value - value == 0.0 and key in keys:
                points.append(Point(key, step, time_ms, value, 0))
                continue
            try:
                points.append(checks.point(key, step, time_ms, value, f"metric {format_value(key)}"))
                keys.add(key)
            except Invalid as exc:
                self._refuse(number, exc.message)

    def params(self, number: int, line: dict[str, Any]) -> None:
        for key, value in self._pairs(number, line).items():
            first = self._params.setdefault(key, (number, value))[1]
            if first != value:
                self._refuse(number, _changed(key, first, value))

    def tags(self, number: int, line: dict[str, Any]) -> None:
        self._tags.update(self._pairs(number, line))

    def _pairs(self, number: int, line: dict[str, Any]) -> dict[str, str]:
        given, found = line.get("values"), {}
        if type(given) is not dict:
            raise Invalid(f"values is {format_value(given)}: expected an object of keys and texts")
        for key, value in given.items():
            try:
                found[checks.key(key, f"key {format_value(key)}")] = checks.text(value, f"value of {format_value(key)}")
            except Invalid as exc:
                self._refuse(number, exc.message)
        return found

    def domain(self, number: int, line: dict[str, Any]) -> None:
        domain = checks.key(line.get("domain"), "domain")
        step = None if line.get("step") is None else checks.whole(line["step"], "step")
        time_ms, given = checks.whole(line.get("time_ms"), "time_ms"), line.get("values")
        if type(given) is not dict:
            raise Invalid(f"values is {format_value(given)}: expected an object")
        document = check_text(dumps_text(given), "values", LARGEST_DOCUMENT)
        digest = sha256(dumps_text([step, time_ms, document]).encode()).hexdigest()
        same = {"run_id": self.run.pk, "domain": domain, "digest": digest}
        if not DomainRecord.objects.filter(**same).exists():
            DomainRecord.objects.create(**same, step=step, time_ms=time_ms, document=document)
            self._of_records += run_quotas.of_document(document)
        for key, value in given.items():
            if type(value) in (int, float) or (type(value) is str and value in values.NAMES):
                try:
                    self._points.append(checks.point(f"{domain}/{key}", step or 0, time_ms, value, f"value of {key}"))
                except Invalid as exc:
                    self._refuse(number, exc.message)

    def link(self, number: int, line: dict[str, Any]) -> None:
        links.add(self.run, line.get("to"), line.get("name"), line.get("at"))

    def artifact(self, number: int, line: dict[str, Any]) -> None:
        artifacts.announce(
            line.get("path"), line.get("sha256"), line.get("size"), run_id=self.run.pk, owner=self.owner,
            dropped=self.dropped,
        )  # fmt: skip

    def status(self, number: int, line: dict[str, Any]) -> None:
        status, time_ms = runs.check_status(line.get("status")), checks.whole(line.get("time_ms"), "time_ms")
        rows = Run.objects.filter(pk=self.run.pk)
        ended = rows.values_list("ended_ms", flat=True).get()
        if ended is not None and time_ms < ended:
            return  # of another process, or an earlier one that arrives late
        self.has_ended = status in Run.ENDED
        rows.update(status=status, ended_ms=time_ms if self.has_ended else None)
        if status == Run.FINISHED:
            feed_queue.add(self.run.pk, self.run.experiment_id)


def _changed(key: str, held: str, value: str) -> str:
    return f"param {format_value(key)} is {format_value(held)} already: it can't become {format_value(value)}"


_TAKERS: dict[str, Callable[[_Batch, int, dict[str, Any]], None]] = {
    "metrics": _Batch.metrics,
    "params": _Batch.params,
    "tags": _Batch.tags,
    "domain": _Batch.domain,
    "link": _Batch.link,
    "artifact": _Batch.artifact,
    "status": _Batch.status,
}
