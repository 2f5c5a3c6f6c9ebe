"""Show or save a model's record: what it predicted for each observation before it learned it.

A row has the number and the time of the observation, its segment, the target, the prediction, whether the prediction was scored,
and, if the model gives them, the ends of the 95 % interval and upper bounds (q50 to q99). The server writes records in the
background: the command says how many observations are not recorded yet. Without a range, a table has the latest 20 rows, and
a file has all. A file is streamed in constant memory. If the command fails, it changes no file.

examples:
  tailrace record runtime
  tailrace record runtime --from 12000 --to 12410
  tailrace record runtime --output runtime.parquet
  tailrace record runtime --format ndjson | jq 'select(.y > .upper)'
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from tailrace.cli.messages import OK, say

LATEST = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="the model")
    parser.add_argument("--from", dest="first", type=int, metavar="N", help="from observation N on")
    parser.add_argument("--to", dest="last", type=int, metavar="N", help="up to observation N")
    parser.add_argument(
        "--format",
        choices=("csv", "ndjson", "parquet", "table"),
        help="default: the file's ending, or else a table",
    )
    parser.add_argument(
        "--output", metavar="FILE", help="ends in .csv, .ndjson, .jsonl or .parquet (default: print it)"
    )
    parser.add_argument("--safe", choices=("excel",), help="CSV in which a spreadsheet runs no text as a formula")
    parser.add_argument("--json", action="store_true", help="with --output: print its path and size as JSON")


def run(options: argparse.Namespace) -> int:
    from tailrace.cli.output import print_json, print_tables
    from tailrace.errors import Unusable
    from tailrace.handles.client import Client
    from tailrace.handles.record_reader import export, extent, pieces, record

    client = Client(options.url)
    if options.json and options.output is None:
        raise Unusable("--json needs --output FILE: for rows as JSON lines, use --format ndjson")
    if options.output is None and options.format in (None, "table"):
        if options.safe is not None:
            raise Unusable("--safe is for CSV: add --format csv")
        first = options.first
        if first is None:
            known = extent(client, options.model, None, options.last)
            first = max(1, known["first"], known["last"] - LATEST + 1)
        found = record(client, options.model, first, options.last, client.model(options.model).unit)
        print_tables([found.table])
        return OK
    if options.format == "table":
        raise Unusable("a table is printed: leave --output out, or choose another --format")
    behind = extent(client, options.model, options.first, options.last)["behind"]
    if behind and options.last is None:
        say(f"{behind} observations are not recorded yet, and are not in it")
    if options.output is None:
        if options.format == "parquet" and sys.stdout.isatty():
            raise Unusable("parquet is binary: add --output FILE, or redirect the output")
        for piece in pieces(client, options.model, options.format, options.first, options.last, options.safe):
            sys.stdout.buffer.write(piece)
        return OK
    path = export(
        client, options.model, Path(options.output), options.first, options.last, options.format or "", options.safe
    )
    size = os.stat(path).st_size
    if options.json:
        print_json({"model": options.model, "path": str(path), "bytes": size, "behind": behind})
    else:
        print(f"tailrace: wrote {path}, {size} bytes")
    return OK
