"""Reading a stream's log: page by page, as a table, or into a file in constant memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tailrace.atomic_files import replacing
from tailrace.display.tables import Column, Table
from tailrace.errors import Unusable

if TYPE_CHECKING:
    from tailrace.handles.session import Session

__all__ = ["ENDINGS", "export", "observation_table", "observations", "pages", "pairs"]

PAGE = 2000
CSV, NDJSON = "text/csv", "application/x-ndjson"
ENDINGS = {".csv": CSV, ".ndjson": NDJSON, ".jsonl": NDJSON}
"""Media type of an export, by the ending of the file."""


def observations(session: Session, stream: str, after: int = 0, limit: int | None = None) -> Iterator[dict[str, Any]]:
    """Yields at most `limit` observations in order, from number ``after + 1`` on, as the server sends them."""
    for page in pages(session, stream, after, limit):
        yield from page


def pages(session: Session, stream: str, after: int = 0, limit: int | None = None) -> Iterator[list[dict[str, Any]]]:
    """Yields the same observations as `observations`, in one list for each request."""
    path = session.path("streams", stream, "observations")
    left = limit
    while left is None or left > 0:
        size = PAGE if left is None else min(PAGE, left)
        page = session.send("GET", path, query={"after": after, "limit": size}, stream=stream)
        found = page["observations"]
        yield found
        if page["next"] is None or not found:
            return
        after = page["next"]
        left = None if left is None else left - len(found)


def pairs(some: Iterable[Mapping[str, Any]], model: str) -> list[tuple[float, float]]:
    """Returns ``(actual, predicted)`` for each observation that is not retracted and whose prediction is a number."""
    found = []
    for one in some:
        predicted, actual = one.get("predictions", {}).get(model), one["y"]
        numbers = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in (actual, predicted))
        # Leave out the 0 that a model predicts before it has learned anything.
        if numbers and "retracted" not in one and (predicted or one["seq"] > 1):
            found.append((float(actual), float(predicted)))
    return found


def export(
    session: Session,
    stream: str,
    path: Path,
    after: int = 0,
    limit: int | None = None,
    kind: str = "",
    safe: str | None = None,
) -> Path:
    """Write the log to a file, in constant memory. If it fails, it changes no file.

    Parameters
    ----------
    kind
        A media type of `ENDINGS`. If empty, the ending of the path decides.
    safe
        ``"excel"``: CSV in which a spreadsheet does not read text as formulas.
    """
    kind = kind or media_type(path)
    with replacing(path) as part, open(part, "wb") as file:
        for piece in pieces(session, stream, kind, after, limit, safe):
            file.write(piece)
    return path


def pieces(
    session: Session, stream: str, kind: str, after: int = 0, limit: int | None = None, safe: str | None = None
) -> Iterator[bytes]:
    """Yields the log as CSV or NDJSON, in pieces, as the server sends it."""
    if safe is not None and kind != CSV:
        raise Unusable("safe is for CSV, which spreadsheets open: name a file that ends in .csv, or leave it out")
    given = {"limit": limit, "safe": safe}
    query = {"after": after, **{name: value for name, value in given.items() if value is not None}}
    path = session.path("streams", stream, "observations")
    return session.pieces(path, query, accept=kind, stream=stream)


def media_type(path: Path) -> str:
    """Returns the media type for the ending of a path.

    Raises
    ------
    Unusable
        If the ending is not one of `ENDINGS`.
    """
    found = ENDINGS.get(path.suffix.lower())
    if found is None:
        raise Unusable(f"{path} has no known ending: expected a name that ends in {', '.join(ENDINGS)}")
    return found


def observation_table(stream: str, unit: str, some: Sequence[Mapping[str, Any]]) -> Table:
    """Returns a table of observations: number, time, target, features, predictions."""
    features = list(dict.fromkeys(name for one in some for name in one["x"]))
    models = list(dict.fromkeys(name for one in some for name in one.get("predictions", {})))
    columns = [Column("seq"), Column("at", left=True), Column("y", unit), *(Column(f"x.{name}") for name in features)]
    columns += [Column(name, unit) for name in models]
    rows = [
        [
            one["seq"], one["at"][:19].replace("T", " "), one["y"], *(one["x"].get(name) for name in features),
            *(one.get("predictions", {}).get(name) for name in models),
        ]
        for one in some
    ]  # fmt: skip
    note = "; each model's column shows what it predicted before it learned" if models else ""
    return Table(columns, rows, f"stream {stream}{note}")
