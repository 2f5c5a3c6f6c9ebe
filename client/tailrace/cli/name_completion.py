"""Names of models, streams and recipes that can complete a command line, from the server.

Completion scripts run this at each Tab. If anything fails, it offers no names, without a delay.
"""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Sequence

from tailrace.cli.command_list import COMMANDS, parser_of
from tailrace.errors import TailraceError
from tailrace.transport.server import Server

__all__ = ["kind_of", "names_after"]

DEADLINE = 1.0
"""Seconds to wait for the server."""

KINDS = {"model": "models", "models": "models", "stream": "streams", "confirm": "streams", "recipe": "recipes"}
"""Kinds of names that arguments and options take, by name of the argument or option."""

PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
"""Pattern of names on a Tailrace server. They contain no character that is special in a shell."""


def kind_of(action: argparse.Action) -> str | None:
    """Returns the kind of names that an argument or option takes: ``models``, ``streams``, ``recipes``, or None."""
    return KINDS.get(action.dest)


def names_after(line: str) -> list[str]:
    """Returns the names that can complete the last word of a command line.

    There are none if the word is not a name, or if the server does not answer.

    Parameters
    ----------
    line
        The text from ``tailrace`` to the cursor. Its option ``--url`` names the server.
    """
    words = _words(line)
    if len(words) < 3 or words[1] not in COMMANDS:
        return []
    action, prefix, url = _last_word(parser_of(words[1]), words[2:])
    kind = None if action is None else kind_of(action)
    if kind is None:
        return []
    try:
        data = Server(url).request("GET", f"/api/v1/{kind}/", deadline=DEADLINE)
        names = [one["name"] for one in data[kind]]
    except (TailraceError, KeyError, TypeError):
        return []
    return [name for name in names if isinstance(name, str) and name.startswith(prefix) and PLAIN.fullmatch(name)]


def _words(line: str) -> list[str]:
    """Returns the words of a line. The last one is incomplete: it may have an open quote, and is empty after a space."""
    for end in ("", "'", '"', " "):
        try:
            # The NUL makes the end of the line a word, even after a space.
            words = shlex.split(f"{line}\0{end}", posix=True)
        except ValueError:
            continue
        places = [number for number, word in enumerate(words) if word.rpartition("/")[2] == "tailrace"]
        return [word.replace("\0", "") for word in words[places[0] if places else 0 :]]
    return []


def _last_word(parser: argparse.ArgumentParser, words: Sequence[str]) -> tuple[argparse.Action | None, str, str | None]:
    """Returns the argument or option that the last word belongs to, the word, and the server that ``--url`` names."""
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
