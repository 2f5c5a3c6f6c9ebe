"""The log as it leaves the server: observations as JSON, NDJSON and CSV, at constant memory."""

import csv
import io
import logging
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.db import DatabaseError, InterfaceError

from server.learning.models import Model
from server.streams import log
from server.streams.codec import dumps, text
from server.streams.errors import Invalid
from server.streams.locks import give_up
from server.streams.log import Span
from server.streams.models import Retraction, Stream
from server.streams.spreadsheets import guarded

logger = logging.getLogger(__name__)

MOST_COLUMNS = 10_000
RETRACTIONS_AHEAD = 10_000
CSV_COLUMNS = ["seq", "at", "y", "key", "source", "retracted"]


class _Retractions:
    """Which observations were retracted, read for a stretch of the log at a time."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._upto = 0
        self._found: dict[int, dict[str, Any]] = {}

    def of(self, span: Span) -> dict[int, dict[str, Any]]:
        if span.last > self._upto:
            self._upto = max(span.last, span.first + RETRACTIONS_AHEAD)
            rows = Retraction.objects.filter(stream=self._stream, seq__gte=span.first, seq__lte=self._upto)
            self._found = {seq: {"reason": why, "at": at} for seq, why, at in rows.values_list("seq", "reason", "at")}
        return self._found


def observations(stream: Stream, after: int, upto: int) -> Iterator[list[dict[str, Any]]]:
    """Observations ``after + 1 … upto`` as the API shows them, in lists as long as they were committed."""
    names = dict(Model.objects.filter(stream=stream).values_list("pk", "name"))
    retractions = _Retractions(stream)
    for span in log.spans(stream.pk, after, upto):
        retracted = retractions.of(span)
        yield [_observation(span, offset, names, retracted) for offset, x in enumerate(span.xs) if x is not None]


def _observation(
    span: Span, offset: int, names: dict[int, str], retracted: dict[int, dict[str, Any]]
) -> dict[str, Any]:
    seq, note = span.first + offset, span.notes.get(offset, {})
    shown = {
        "seq": seq,
        "x": span.xs[offset],
        "y": span.ys[offset],
        "key": note.get("key"),
        "at": span.at,
        "source": note.get("source"),
    }
    if "identifier" in note:
        shown["identifier"] = note["identifier"]
    if seq in retracted:
        shown["retracted"] = retracted[seq]
    shown |= answers(span, offset, names)
    return shown


def answers(span: Span, offset: int, names: dict[int, str]) -> dict[str, Any]:
    """What the models (those that are still there) said of a point before they learned it, and why some passed it over."""
    predictions = {names[pk]: by[offset] for pk, by in span.predictions.items() if pk in names}
    errors = {names[pk]: by[offset] for pk, by in span.skipped.items() if pk in names and offset in by}
    found: dict[str, Any] = {"predictions": predictions} if predictions else {}
    return found | {"errors": errors} if errors else found


def sent(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The same, with the connection to the database given up where it fails half-way: the answer then breaks off."""
    try:
        yield from chunks
    except (DatabaseError, InterfaceError) as exc:
        raise give_up(exc) from exc
    except GeneratorExit:
        if settings.TAILRACE.server == "granian":  # gunicorn says so of every answer, and by whose client
            logger.info("a client went away before it had all of an export, or was too slow")
        raise


def ndjson(stream: Stream, after: int, upto: int) -> Iterator[bytes]:
    """One observation a line."""
    for some in observations(stream, after, upto):
        yield b"".join(dumps(one) + b"\n" for one in some)


def csv_columns(stream: Stream, after: int, upto: int) -> list[str]:
    """The features that get a column each: the declared ones; else those that occur, in the order of their first use.

    Raises
    ------
    Invalid
        If there are too many for a table.
    """
    if stream.features is not None:
        return list(stream.features)
    found: dict[str, None] = {}
    for span in log.spans(stream.pk, after, upto):
        for x in span.xs:
            found.update(dict.fromkeys(x or ()))
        if len(found) > MOST_COLUMNS:
            raise Invalid(
                f"stream {stream.name} has more than {MOST_COLUMNS} different features, too many for the columns of a "
                "table: ask for application/x-ndjson",
                code="too_many_columns",
            )
    return list(found)


def table(stream: Stream, features: list[str], after: int, upto: int, *, safe: bool = False) -> Iterator[bytes]:
    """CSV (RFC 4180, UTF-8): a line of names, then a line an observation; a feature that a point lacks is empty.

    Where it is to be ``safe``, an apostrophe stands before text that a spreadsheet would take for a formula.
    """
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    cell = _safe_cell if safe else _cell
    writer.writerow(CSV_COLUMNS + [f"x.{name}" for name in features])
    retractions = _Retractions(stream)
    for span in log.spans(stream.pk, after, upto):
        retracted = retractions.of(span)
        at = span.at.isoformat()
        for offset, (x, y) in enumerate(zip(span.xs, span.ys, strict=True)):
            if x is None:  # thinned out
                continue
            seq, note = span.first + offset, span.notes.get(offset, {})
            source = note.get("source")
            writer.writerow(
                [
                    seq,
                    at,
                    cell(y),
                    cell(note.get("key")),
                    None if source is None else text(source),
                    cell(retracted[seq]["reason"] if seq in retracted else None),
                    *(cell(x.get(name)) for name in features),
                ]
            )
        yield buffer.getvalue().encode()
        buffer.seek(0)
        buffer.truncate()
    yield buffer.getvalue().encode()


def _safe_cell(value: Any) -> Any:
    return guarded(value) if isinstance(value, str) else _cell(value)


def _cell(value: Any) -> Any:
    return ("true" if value else "false") if isinstance(value, bool) else value
