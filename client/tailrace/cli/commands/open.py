"""Print the address of the server's pages, or of the page of a stream or a model, and open it in a browser.

Nothing is sent to the server. If no browser can be opened, as on a login node, copy the address to your own machine.

examples:
  tailrace open                        the overview
  tailrace open model runtime
  tailrace open stream lammps-runtime --print
"""

from __future__ import annotations

import argparse

from tailrace.cli.messages import OK, say

PATHS = {"stream": "streams", "model": "models"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("kind", nargs="?", choices=tuple(PATHS), help="whose page: of a stream or of a model")
    parser.add_argument("name", nargs="?", help="the name of the stream or the model")
    parser.add_argument("--print", action="store_true", dest="only_print", help="only print the address")


def run(options: argparse.Namespace) -> int:
    from tailrace.errors import Unusable
    from tailrace.handles.session import Session
    from tailrace.transport.server import Server

    if options.kind is not None and not options.name:
        raise Unusable(f"the name of the {options.kind} is missing: expected tailrace open {options.kind} NAME")
    session = Session(Server(options.url))
    address = session.page(*(() if options.kind is None else (PATHS[options.kind], options.name)))
    print(address, flush=True)
    if not options.only_print and not _opened(address):
        say("no browser could be opened here: open the address above")
    return OK


def _opened(address: str) -> bool:
    import webbrowser

    try:
        return webbrowser.open(address)
    except (webbrowser.Error, OSError):
        return False
