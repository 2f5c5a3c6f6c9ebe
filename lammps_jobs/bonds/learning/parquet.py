"""Export of a database of interactions as Parquet.

The same definition, log and version of Arrow give the same bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain, islice
from pathlib import Path
from typing import Any

from tailrace import Client
from tailrace.atomic_files import replacing

from lammps_jobs.bonds.errors import Refused

__all__ = ["export"]

ROWS = 20_000
"""Rows of a row group, which is in memory at a time."""

FIXED = {"seq": "int64", "cell": "string", "composition": "string"}


def export(
    client: Client, database: Mapping[str, Any], path: Path, told: Callable[[int], None] = lambda rows: None
) -> int:
    """Write all observations of a database, in the order of their numbers. Memory use is constant.

    The columns are ``seq``, ``cell``, ``composition``, each feature, and the target. The file's metadata contain the
    definition and the fingerprint, under ``tailrace``. The file appears only when it is complete.

    Parameters
    ----------
    client
        Client of the server.
    database
        The database, as the server describes it.
    path
        The file.
    told
        Called with the number of rows so far.

    Returns
    -------
    Number of rows.

    Raises
    ------
    Refused
        If the received observations don't match the fingerprint, or don't all have the same features.
    """
    import pyarrow
    from pyarrow import parquet

    name = str(database["name"])
    digest = hashlib.sha256()
    observations = _observations(client, name, digest)
    first = next(observations, None)
    if first is None:
        raise Refused(
            f"the server sent no observations of database {name}: expected {database['counts']['observations']}"
        )
    target = client.stream(str(database["stream"])).info()["target"]["name"]
    schema = _schema(first, target, {key: database[key] for key in sorted(database) if not key.startswith("created")})
    written = 0
    rows = chain([first], observations)
    with replacing(path) as part, parquet.ParquetWriter(part, schema, compression="zstd") as file:
        while some := list(islice(rows, ROWS)):
            file.write_table(pyarrow.Table.from_pylist([_row(one, schema, target) for one in some], schema))
            written += len(some)
            told(written)
        if digest.hexdigest() != database["fingerprint"]:
            raise Refused(
                f"database {name}: the received observations have SHA-256 {digest.hexdigest()}, but its fingerprint is "
                f"{database['fingerprint']}: expected the same; nothing is written, try again"
            )
    return written


def _observations(client: Client, name: str, digest: Any) -> Iterator[dict[str, Any]]:
    rest = b""
    for piece in client.pieces(client.path("databases", name, "observations"), accept="application/x-ndjson"):
        digest.update(piece)
        *lines, rest = (rest + piece).split(b"\n")
        yield from map(json.loads, lines)


def _schema(first: Mapping[str, Any], target: str, described: Mapping[str, Any]) -> Any:
    import pyarrow

    kinds = {bool: "bool", int: "float64", float: "float64", str: "string"}
    features = {feature: kinds[type(value)] for feature, value in first["x"].items()}
    if taken := {*FIXED, target} & features.keys():
        raise Refused(f"a feature is called {', '.join(sorted(taken))}, like another column of the table: rename it")
    columns = {**FIXED, **features, target: kinds[type(first["y"])]}
    fields = [pyarrow.field(column, pyarrow.type_for_alias(kind)) for column, kind in columns.items()]
    return pyarrow.schema(fields, {"tailrace": json.dumps(described, sort_keys=True)})


def _row(one: Mapping[str, Any], schema: Any, target: str) -> dict[str, Any]:
    row = {"seq": one["seq"], "cell": one["cell"], "composition": one["composition"], **one["x"], target: one["y"]}
    if row.keys() != set(schema.names):
        odd: Iterable[str] = row.keys() ^ set(schema.names)
        raise Refused(
            f"observation {one['seq']} has other features than the first one ({', '.join(sorted(odd)[:5])}): expected "
            "the same in all; select those that have them by --cell"
        )
    return row
