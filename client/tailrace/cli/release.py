"""Let a model out of quarantine, where it is because a call of its estimator took too much time or memory, or crashed.

The server tries it in a process of its own first, and refuses if it does the same again. What it skipped meanwhile it never
learns. `tailrace models MODEL` says why it is there. Its owner and admins may do this.

example:
  tailrace release runtime
"""

from __future__ import annotations

import argparse

from tailrace.cli import OK


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="the model's name")
    parser.add_argument("--no-wait", action="store_true", help="don't wait until it has caught up with the log")


def run(options: argparse.Namespace) -> int:
    from tailrace.cli.showing import print_facts
    from tailrace.client import Client

    model = Client(options.url).model(options.model).release()
    if not options.no_wait:
        model.wait()
    print_facts(model.info())
    return OK
