"""Confirmation of a deletion: the name of what is deleted is typed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from tailrace.errors import Unusable

if TYPE_CHECKING:
    from tailrace.results.facts import Facts


def confirmed(kind: str, name: str, given: str | None, info: Facts | None = None) -> str:
    """Returns the name that confirms a deletion: as given, or as typed on the terminal.

    Parameters
    ----------
    kind, name
        What is deleted, such as ``stream``, and its name.
    given
        Value of ``--confirm``. None: ask for it.
    info
        What is shown before the question.

    Raises
    ------
    Unusable
        If it is another name, or if there is no terminal to ask on.
    """
    if given is None:
        if not sys.stdin.isatty():
            from shlex import quote

            raise Unusable(f"there is no terminal to ask on: --confirm {quote(name)} deletes it without asking")
        if info is not None:
            from tailrace.cli.output import print_facts

            print_facts(info)
        try:
            given = input(
                f"All of this will be deleted and can't be restored. Type the {kind}'s name to delete it: "
            ).strip()
        except EOFError:
            given = ""
    if given != name:
        raise Unusable(f"{given!r} is not the {kind}'s name, {name}: nothing was deleted")
    return given
