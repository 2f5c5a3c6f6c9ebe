"""Run the agent of a cluster: it pulls steps of calculations from the server and runs them through the site's scheduler.

The site's file agent.toml says which programs may run, and how. Nothing else is ever run. Jobs go on when the agent stops; the
next start finds them. Ctrl-C and SIGTERM stop it.

examples:
  tailrace agent init --config agent.toml       write an example to start from
  tailrace agent check --config agent.toml      try everything, and say what is missing
  tailrace agent run --config agent.toml        work until stopped
"""

from __future__ import annotations

import argparse
import signal
from pathlib import Path

from tailrace.cli.messages import OK, PROBLEM, say

ASKS_A_SERVER = False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("run", "check", "init"), help="what to do")
    parser.add_argument("--config", metavar="FILE", default="agent.toml", help="the site's file (default: %(default)s)")


def run(options: argparse.Namespace) -> int:
    path = Path(options.config)
    if options.action == "init":
        return _init(path)
    if options.action == "check":
        return _check(path)
    from tailrace.agent.agent import Agent
    from tailrace.agent.site_file import read_site_file

    agent = Agent(read_site_file(path))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: agent.stop())
    try:
        return agent.run()
    finally:
        agent.close()


def _init(path: Path) -> int:
    from tailrace.agent.site_file import EXAMPLE
    from tailrace.errors import Unusable

    try:
        with open(path, "x", encoding="utf-8") as file:
            file.write(EXAMPLE)
    except FileExistsError:
        raise Unusable(f"{path} exists: it is not overwritten") from None
    except OSError as error:
        say(f"{path} can't be written: {error.strerror}")
        return PROBLEM
    print(f"tailrace: wrote {path}: change it, then run: tailrace agent check --config {path}")
    return OK


def _check(path: Path) -> int:
    from tailrace.agent.check import check_site

    code = OK
    for finding in check_site(path):
        print(finding, flush=True)
        code = code if finding.ok else PROBLEM
    return code
