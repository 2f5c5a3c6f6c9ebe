"""Argument parsers of the subcommands: help with examples, errors with the most similar option."""

from __future__ import annotations

import argparse
import os

from tailrace.errors import Unusable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from types import ModuleType
    from typing import NoReturn

__all__ = ["Parser", "make_parser"]

WIDEST, USUAL = 110, 80


class _Help(argparse.RawDescriptionHelpFormatter):
    """Help as wide as the terminal, with bold headings."""

    def __init__(self, prog: str) -> None:
        # argparse would import shutil to find the width.
        super().__init__(prog, max_help_position=30, width=_width() - 2)

    def start_section(self, heading: str | None) -> None:
        from tailrace.cli.output import bold

        super().start_section(heading if heading is None else bold(heading))


class Parser(argparse.ArgumentParser):
    """A parser that raises Unusable instead of printing its usage and exiting."""

    def error(self, message: str) -> NoReturn:
        raise Unusable(message)

    def read(self, arguments: Sequence[str]) -> argparse.Namespace:
        """Parse arguments. Raises Unusable for an unknown option, with the most similar one."""
        known = [option for action in self._actions for option in action.option_strings]
        given = list(_joined(arguments))
        for argument in given:
            name = argument.partition("=")[0]
            if argument == "--":
                break
            if name.startswith("--") and name not in known:
                from tailrace.similar_names import did_you_mean

                raise Unusable(f"there is no option {name}{did_you_mean(name, known)}")
        return self.parse_intermixed_args(given)


def make_parser(name: str, module: ModuleType) -> Parser:
    """Make the parser of a subcommand.

    The module's docstring is the help: its first paragraph is the description, the rest is the epilog.
    """
    about, _, rest = (module.__doc__ or "").partition("\n\n")
    parser = Parser(
        prog=f"tailrace {name}",
        description=about.strip(),
        epilog=rest.strip() or None,
        formatter_class=_Help,
        allow_abbrev=False,
    )
    module.add_arguments(parser)
    if getattr(module, "ASKS_A_SERVER", True):
        parser.add_argument("--url", metavar="URL", help="the server (default: TAILRACE_URL, or http://127.0.0.1:8080)")
    return parser


def _joined(arguments: Iterable[str]) -> Iterable[str]:
    """Join ``--y -1e-5`` to ``--y=-1e-5``. argparse would read ``-1e-5`` as an option."""
    waiting = ""
    for argument in arguments:
        if waiting and argument.startswith("-") and _is_number(argument):
            yield f"{waiting}={argument}"
            waiting = ""
            continue
        if waiting:
            yield waiting
        waiting = argument if argument.startswith("--") and argument != "--" and "=" not in argument else ""
        if not waiting:
            yield argument
    if waiting:
        yield waiting


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _width() -> int:
    given = os.environ.get("COLUMNS", "")
    try:
        width = int(given) if given.isdigit() else os.get_terminal_size(1).columns
    except OSError:
        width = USUAL
    return max(40, min(WIDEST, width or USUAL))
