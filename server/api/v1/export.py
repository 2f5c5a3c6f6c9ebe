"""Export of observations as JSON, NDJSON and CSV. Memory use does not depend on the length of the log."""

import csv
import io
import logging
from collections.abc import Generator, Iterator
from typing import Any

from django.conf import settings
from django.db import DatabaseError, InterfaceError

from server.accounts.caller import Caller
from server.api.response_slots import Slot
from server.core.db.locks import to_unavailable
from server.core.errors import Invalid
from server.core.json_codec import dumps, dumps_text
from server.core.slots import Slots
from server.core.spreadsheet_cells import escape_formula
from server.learning.models import Model
from server.streams import log
from server.streams.log import Span
from server.streams.models import Retraction, Stream

logger = logging.getLogger(__name__)

LARGE_PAGE_BYTES = 2**20
"""Characters of stored JSON from which on a page counts as an export in progress until it is sent."""
PAGE_BYTES = 8 * 2**20
"""A page ends when its observations take this many characters of stored JSON."""
SENT_BYTES = 256 * 2**10
"""Most bytes passed to the WSGI server at once. It keeps in memory what a slow client has not read yet."""
MOST_COLUMNS = 10_000
RETRACTIONS_AHEAD = 10_000
CSV_COLUMNS = ["seq", "at", "y", "key", "source", "retracted"]


class _Retractions:
    """The retracted observations of a stream, read from the database part by part."""

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


def page(stream: Stream, after: int, upto: int, slot: Slot) -> tuple[list[dict[str, Any]], int]:
    """Return observations from ``after + 1`` to ``upto`` as the API shows them, fewer if they are large; and the last number.

    Raises
    ------
    TooMany, Unavailable
        If the page is large, and ``slot`` can't be taken.
    """
    found: list[dict[str, Any]] = []
    size = 0
    shown = _Shown(stream)
    for span in log.spans(stream.pk, after, upto):
        found += shown(span)
        size += span.size
        if size >= LARGE_PAGE_BYTES:
            slot.take()
        if size >= PAGE_BYTES:
            return found, span.last
    return found, upto


def observations(stream: Stream, after: int, upto: int) -> Iterator[list[dict[str, Any]]]:
    """Yield observations ``after + 1 … upto`` as the API shows them, one list for each stored batch."""
    return map(_Shown(stream), log.spans(stream.pk, after, upto))  # a map holds nothing of what it has passed on


class _Shown:
    """The observations of spans as the API shows them."""

    def __init__(self, stream: Stream) -> None:
        self._names = dict(Model.objects.filter(stream=stream).values_list("pk", "name"))
        self._retractions = _Retractions(stream)

    def __call__(self, span: Span) -> list[dict[str, Any]]:
        retracted = self._retractions.of(span)
        return [_observation(span, offset, self._names, retracted) for offset, x in enumerate(span.xs) if x is not None]


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
    """Return the predictions of existing models before they learned a point, and the errors of those that skipped."""
    predictions = {names[pk]: by[offset] for pk, by in span.predictions.items() if pk in names}
    errors = {names[pk]: by[offset] for pk, by in span.skipped.items() if pk in names and offset in by}
    found: dict[str, Any] = {"predictions": predictions} if predictions else {}
    return found | {"errors": errors} if errors else found


def sent(chunks: Iterator[bytes], who: Caller | None) -> "Export":
    """Return the body of a response that sends these chunks.

    Raises
    ------
    TooMany, Unavailable
        If too many exports are in progress: of this caller, or of all callers of this process.
    """
    return Export(_small(_guarded(chunks)), who)


def _limits() -> tuple[int, int]:
    most = max(2, settings.TAILRACE.working_threads // 4)
    return most, max(1, most // 2)


SLOTS = Slots(
    _limits,
    process_full="this process sends {limit} exports already, the most allowed at once; try again",
    caller_full="this token or person has {limit} exports in progress in this process, the most allowed: "
    "wait until one has ended",
    retry_after=1,
)
"""Exports that this process is sending. Each occupies a thread, and holds :data:`server.streams.log.CHUNK_BYTES` of the log."""


class Export:
    """Body of a response that counts as an export in progress until it is sent or closed."""

    def __init__(self, chunks: Generator[bytes], who: Caller | None) -> None:
        self._slot = Slot(SLOTS, who)
        self._slot.take()
        self._chunks = chunks

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._chunks
        finally:
            self.close()

    def close(self) -> None:
        """End the export, also if it is not sent completely."""
        self._slot.release()
        self._chunks.close()


def _small(chunks: Iterator[bytes]) -> Generator[bytes]:
    for chunk in chunks:
        for low in range(0, len(chunk), SENT_BYTES):
            yield chunk[low : low + SENT_BYTES]


def _guarded(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Turn a database error into Unavailable, which closes the connection to the database.

    The response is then incomplete.
    """
    try:
        yield from chunks
    except (DatabaseError, InterfaceError) as exc:
        raise to_unavailable(exc) from exc
    except GeneratorExit:
        if settings.TAILRACE.server == "granian":  # with gunicorn, the worker logs this, with the client's address
            logger.info("a client closed the connection before the end of an export, or was too slow")
        raise


def ndjson(stream: Stream, after: int, upto: int) -> Iterator[bytes]:
    """Yield the observations as JSON, one on each line."""
    return map(_lines, observations(stream, after, upto))


def _lines(some: list[dict[str, Any]]) -> bytes:
    return b"".join(dumps(one) + b"\n" for one in some)


def csv_columns(stream: Stream, after: int, upto: int) -> list[str]:
    """Return the features that get a column: the declared ones, or else all that occur, in the order of first use.

    Raises
    ------
    Invalid
        If there are more than :data:`MOST_COLUMNS`.
    """
    if stream.features is not None:
        return list(stream.features)
    found: dict[str, None] = {}
    for _, xs in log.features(stream.pk, after, upto):
        for x in xs:
            found.update(dict.fromkeys(x or ()))
        if len(found) > MOST_COLUMNS:
            raise Invalid(
                f"stream {stream.name} has more than {MOST_COLUMNS} different features, too many for the columns of a "
                "table: ask for application/x-ndjson",
                code="too_many_columns",
            )
    return list(found)


def table(stream: Stream, features: list[str], after: int, upto: int, *, safe: bool = False) -> Iterator[bytes]:
    """Yield CSV (RFC 4180, UTF-8): a line of names, then one line for each observation.

    A missing feature is an empty field. With ``safe``, an apostrophe is put before text that a spreadsheet would
    interpret as a formula.
    """
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    cell = _safe_cell if safe else _cell
    writer.writerow(CSV_COLUMNS + [f"x.{name}" for name in features])
    retractions = _Retractions(stream)

    def written() -> bytes:
        text = buffer.getvalue().encode()
        buffer.seek(0)
        buffer.truncate()
        return text

    def rows(span: Span) -> bytes:
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
                    None if source is None else dumps_text(source),
                    cell(retracted[seq]["reason"] if seq in retracted else None),
                    *(cell(x.get(name)) for name in features),
                ]
            )
        return written()

    yield written()
    yield from map(rows, log.spans(stream.pk, after, upto))  # a map holds nothing of what it has passed on


def _safe_cell(value: Any) -> Any:
    return escape_formula(value) if isinstance(value, str) else _cell(value)


def _cell(value: Any) -> Any:
    return ("true" if value else "false") if isinstance(value, bool) else value
