"""Save a model's estimator, to predict and train without the server.

The file is a pickle. It loads where river and tailrace are installed. Loading a pickle runs code from it: load only files
from a server that you trust.

examples:
  tailrace download runtime --to runtime.pkl
  python -c 'import pickle; print(pickle.load(open("runtime.pkl", "rb")).predict_one({"x": 8, "y": 16, "z": 8}))'
"""

from __future__ import annotations

import argparse
import os

from tailrace.cli.messages import OK


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="the model")
    parser.add_argument("--to", metavar="FILE", help="where to save it (default: <model>.pkl)")
    parser.add_argument("--at", type=int, metavar="N", help="its state after observation N")
    parser.add_argument("--json", action="store_true", help="print its path and size as JSON")


def run(options: argparse.Namespace) -> int:
    from tailrace.cli.output import print_json
    from tailrace.handles.client import Client

    model = Client(options.url).model(options.model)
    path = (model if options.at is None else model.as_of(options.at)).download(options.to or f"{options.model}.pkl")
    size = os.stat(path).st_size
    if options.json:
        print_json({"model": options.model, "path": str(path), "bytes": size})
    else:
        print(f"tailrace: wrote {path}, {size} bytes")
    return OK
