"""Save a stream's log: every observation with the models' predictions (JSON lines), or as a table (CSV).

The log is streamed in constant memory, however long it is. If the command fails, it changes no file. With --safe excel, text
that a spreadsheet would run as a formula (it starts with =, +, -, @, a tab or a line end) gets an apostrophe before it.
Numbers stay numbers.

examples:
  tailrace export lammps-runtime --to runs.csv
  tailrace export lammps-runtime --to for-a-spreadsheet.csv --safe excel
  tailrace export lammps-runtime --to runs.ndjson --after 1000
  tailrace export lammps-runtime | jq 'select(.y > 100)'
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from tailrace.cli.messages import OK

FORMATS = {"csv": "text/csv", "ndjson": "application/x-ndjson"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("stream", help="the stream")
    parser.add_argument("--to", metavar="FILE", help="ends in .csv, .ndjson or .jsonl (default: standard output)")
    parser.add_argument("--format", choices=tuple(FORMATS), help="instead of the file's ending (default: ndjson)")
    parser.add_argument("--safe", choices=("excel",), help="CSV in which a spreadsheet runs no text as a formula")
    parser.add_argument("--after", type=int, default=0, metavar="N", help="only observations after N")
    parser.add_argument("--limit", type=int, metavar="N", help="at most N observations")
    parser.add_argument("--json", action="store_true", help="with --to: print its path and size as JSON")


def run(options: argparse.Namespace) -> int:
    from tailrace.cli.output import print_json
    from tailrace.errors import Unusable
    from tailrace.handles.client import Client
    from tailrace.handles.log_reader import export, pieces

    client = Client(options.url)
    if options.to is None:
        if options.json:
            raise Unusable("--json needs --to FILE: without a file, the log itself is printed, as JSON lines")
        kind = FORMATS[options.format or "ndjson"]
        for piece in pieces(client, options.stream, kind, options.after, options.limit, options.safe):
            sys.stdout.buffer.write(piece)
        return OK
    kind = FORMATS[options.format] if options.format else ""
    path = export(client, options.stream, Path(options.to), options.after, options.limit, kind, options.safe)
    size = os.stat(path).st_size
    if options.json:
        print_json({"stream": options.stream, "path": str(path), "bytes": size})
    else:
        print(f"tailrace: wrote {path}, {size} bytes")
    return OK
