"""Names of models, streams and recipes that may come next on a command line, asked of its server.

The completion scripts ask for them at each Tab, so whatever goes wrong there are just none, and soon.
"""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Sequence

from tailrace.cli import COMMANDS, parser_of
from tailrace.errors import TailraceError
from tailrace.server import Server

__all__ = ["kind_of", "names_after"]

PATIENCE = 1.0
"""Seconds for the server's answer."""

KINDS = {"model": "models", "models": "models", "stream": "streams", "confirm": "streams", "recipe": "recipes"}
"""What an argument or an option of this name takes."""

PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
"""Every name that a Tailrace server gives; nothing in it means anything to a shell."""


def kind_of(action: argparse.Action) -> str | None:
    """What an argument or an option takes: ``models``, ``streams`` or ``recipes``; None for anything else."""
    return KINDS.get(action.dest)


def names_after(line: str) -> list[str]:
    """What may stand where a command line ends, if that is a name; none where the server doesn't say.

    Parameters
    ----------
    line
        From ``tailrace`` to the cursor, as it is typed. Its option ``--url`` is the server that is asked.
    """
    words = _words(line)
    if len(words) < 3 or words[1] not in COMMANDS:
        return []
    action, begun, url = _at_the_end(parser_of(words[1]), words[2:])
    kind = None if action is None else kind_of(action)
    if kind is None:
        return []
    try:
        told = Server(url).request("GET", f"/api/v1/{kind}/", deadline=PATIENCE)
        names = [one["name"] for one in told[kind]]
    except (TailraceError, KeyError, TypeError):
        return []
    return [name for name in names if isinstance(name, str) and name.startswith(begun) and PLAIN.fullmatch(name)]


def _words(line: str) -> list[str]:
    """The words of a line whose last one is being typed: empty behind a blank, and its quotes may be open."""
    for end in ("", "'", '"', " "):
        try:
            # The mark makes a word of the end, whatever stands there.
            words = shlex.split(f"{line}\0{end}", posix=True)
        except ValueError:
            continue
        places = [number for number, word in enumerate(words) if word.rpartition("/")[2] == "tailrace"]
        return [word.replace("\0", "") for word in words[places[0] if places else 0 :]]
    return []


def _at_the_end(
    parser: argparse.ArgumentParser, words: Sequence[str]
) -> tuple[argparse.Action | None, str, str | None]:
    """What the last word belongs to, how far it is typed, and the server that the others name."""
    options = {name: action for action in parser._actions for name in action.option_strings}
    waiting: argparse.Action | None = None
    url, count, only_arguments = None, 0, False
    *before, last = words
    for word in before:
        name, equals, value = word.partition("=")
        if waiting is not None:
            url = word if waiting.dest == "url" else url
            waiting = None
        elif only_arguments or not word.startswith("-") or word == "-":
            count += 1
        elif word == "--":
            only_arguments = True
        elif equals:
            url = value if name == "--url" else url
        elif name in options and options[name].nargs != 0:
            waiting = options[name]
    if waiting is not None:
        return waiting, last, url
    name, equals, value = last.partition("=")
    if not only_arguments and last.startswith("-"):
        return (options.get(name), value, url) if equals else (None, last, url)
    for action in (one for one in parser._actions if not one.option_strings):
        if count == 0 or action.nargs in ("*", "+"):
            return action, last, url
        count -= 1
    return None, last, url
