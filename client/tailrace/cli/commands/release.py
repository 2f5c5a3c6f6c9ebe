"""Release a model from quarantine. It is there because its estimator took too much time or memory, or crashed.

The server first tries the model in a separate process, and refuses if the same happens again. The model never learns the
observations that it skipped. `tailrace models MODEL` shows why it is in quarantine. The model's owner and admins may do this.

example:
  tailrace release runtime
"""

from __future__ import annotations

import argparse

from tailrace.cli.messages import OK


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="the model's name")
    parser.add_argument("--no-wait", action="store_true", help="do not wait until it has caught up with the log")


def run(options: argparse.Namespace) -> int:
    from tailrace.cli.output import print_facts
    from tailrace.handles.client import Client

    model = Client(options.url).model(options.model).release()
    if not options.no_wait:
        model.wait()
    print_facts(model.info())
    return OK
