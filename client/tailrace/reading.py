"""Reading a stream's log: in pages, as a table, into a file at constant memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tailrace.errors import Unusable
from tailrace.files import replacing
from tailrace.tables import Column, Table

if TYPE_CHECKING:
    from tailrace.client import Client

__all__ = ["ENDINGS", "export", "observation_table", "observations", "pages", "pairs"]

PAGE = 2000
CSV, NDJSON = "text/csv", "application/x-ndjson"
ENDINGS = {".csv": CSV, ".ndjson": NDJSON, ".jsonl": NDJSON}
"""Ending of a file to what is written into it."""


def observations(client: Client, stream: str, after: int = 0, limit: int | None = None) -> Iterator[dict[str, Any]]:
    """Observations ``after + 1 …`` in order, at most `limit`, each as the server shows it."""
    for page in pages(client, stream, after, limit):
        yield from page


def pages(client: Client, stream: str, after: int = 0, limit: int | None = None) -> Iterator[list[dict[str, Any]]]:
    """The same, a request's worth at a time."""
    path = client.path("streams", stream, "observations")
    left = limit
    while left is None or left > 0:
        size = PAGE if left is None else min(PAGE, left)
        page = client.send("GET", path, query={"after": after, "limit": size}, stream=stream)
        found = page["observations"]
        yield found
        if page["next"] is None or not found:
            return
        after = page["next"]
        left = None if left is None else left - len(found)


def pairs(some: Iterable[Mapping[str, Any]], model: str) -> list[tuple[float, float]]:
    """``(actual, predicted)`` of the observations that a model predicted by a number, without those retracted."""
    found = []
    for one in some:
        predicted, actual = one.get("predictions", {}).get(model), one["y"]
        numbers = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in (actual, predicted))
        # What a model says before it has learned anything is no prediction.
        if numbers and "retracted" not in one and (predicted or one["seq"] > 1):
            found.append((float(actual), float(predicted)))
    return found


def export(
    client: Client,
    stream: str,
    path: Path,
    after: int = 0,
    limit: int | None = None,
    kind: str = "",
    safe: str | None = None,
) -> Path:
    """Write the log to a file, whole or not at all, at constant memory.

    Parameters
    ----------
    kind
        A media type of `ENDINGS`; the path's ending decides where none is given.
    safe
        ``"excel"``: CSV in which a spreadsheet takes no text for a formula.
    """
    kind = kind or media_type(path)
    with replacing(path) as part, open(part, "wb") as file:
        for piece in pieces(client, stream, kind, after, limit, safe):
            file.write(piece)
    return path


def pieces(
    client: Client, stream: str, kind: str, after: int = 0, limit: int | None = None, safe: str | None = None
) -> Iterator[bytes]:
    """The log as CSV or NDJSON, as it comes over the wire."""
    if safe is not None and kind != CSV:
        raise Unusable("safe is for CSV, which spreadsheets open: name a file that ends in .csv, or leave it out")
    given = {"limit": limit, "safe": safe}
    query = {"after": after, **{name: value for name, value in given.items() if value is not None}}
    path = client.path("streams", stream, "observations")
    return client.pieces(path, query, accept=kind, stream=stream)


def media_type(path: Path) -> str:
    """What the path's ending asks for.

    Raises
    ------
    Unusable
        If it is none of `ENDINGS`.
    """
    found = ENDINGS.get(path.suffix.lower())
    if found is None:
        raise Unusable(f"{path} doesn't say what to write: expected a name that ends in {', '.join(ENDINGS)}")
    return found


def observation_table(stream: str, unit: str, some: Sequence[Mapping[str, Any]]) -> Table:
    """Observations as a table: number, time, target, features, predictions."""
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
    said = "; under each model's name what it predicted before it learned" if models else ""
    return Table(columns, rows, f"stream {stream}{said}")
