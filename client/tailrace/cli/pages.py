"""Documentation pages of the commands, made from their parsers: `python -m tailrace.cli.pages docs/reference/cli`.

Text after a page's mark is written by hand and is kept.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from tailrace.cli.command_list import COMMANDS, parser_of

__all__ = ["MARK", "index", "page", "write"]

MARK = "<!-- What follows is written by hand; what is above is made by: python -m tailrace.cli.pages docs/reference/cli -->"


def index() -> str:
    """Returns the page that lists the commands."""
    rows = [f"| [`tailrace {name}`]({name}.md) | {about} |" for name, about in COMMANDS.items()]
    return "\n".join(["# The command line", "", "| command | what it does |", "|---|---|", *rows, "", MARK, ""])


def page(name: str) -> str:
    """Returns the page of one command, up to its mark."""
    parser = parser_of(name)
    options = [action for action in parser._actions if action.option_strings]
    arguments = [action for action in parser._actions if not action.option_strings]
    needed = [f"{action.option_strings[-1]} {_value(action)}" for action in options if action.required]
    synopsis = " ".join([f"tailrace {name}", *map(_argument, arguments), *needed, "[OPTIONS]"])
    lines = [f"# tailrace {name}", "", f"{_prose(parser.description or '')}", "", "```", synopsis, "```", ""]
    lines += _sections(parser.epilog or "")
    lines += ["## Arguments and options", "", "| | |", "|---|---|"]
    for action in (*arguments, *options):
        names = ", ".join(f"`{_option(action, one)}`" for one in action.option_strings or [action.dest])
        choices = f" ({', '.join(f'`{one}`' for one in action.choices)})" if action.choices else ""
        help_text = re.sub(r"\s+", " ", (action.help or "") % {**vars(action), "prog": parser.prog})
        lines.append(f"| {names} | {_prose(help_text)}{choices} |")
    return "\n".join([*lines, "", MARK, ""])


def write(directory: Path) -> None:
    """Write all pages. Text after a page's mark is kept."""
    directory.mkdir(parents=True, exist_ok=True)
    pages = {"README": index(), **{name: page(name) for name in COMMANDS}}
    for name, made in pages.items():
        path = directory / f"{name}.md"
        before = path.read_text(encoding="utf-8") if path.exists() else ""
        path.write_text(made + before.partition(f"{MARK}\n")[2], encoding="utf-8")


def _sections(epilog: str) -> list[str]:
    """Returns the epilog as Markdown: paragraphs, and code blocks for lists under a title such as ``examples:``."""
    lines: list[str] = []
    for paragraph in re.split(r"\n\s*\n", epilog):
        title, _, rest = paragraph.partition("\n")
        if title.endswith(":") and rest.startswith("  "):
            block = [line[2:] for line in rest.split("\n")]
            lines += [f"## {title[:-1].capitalize()}", "", "```", *block, "```", ""]
        elif paragraph.strip():
            lines += [_prose(paragraph), ""]
    return lines


def _prose(text: str) -> str:
    """Returns a text with options and settings in code font."""
    return re.sub(r"(?<![`\w-])(--[a-z][a-z-]*|TAILRACE_[A-Z_]+)(?![`\w])", r"`\1`", text)


def _argument(action: argparse.Action) -> str:
    name = action.metavar if isinstance(action.metavar, str) else action.dest
    return {"*": f"[{name} …]", "+": f"{name} …", "?": f"[{name}]"}.get(str(action.nargs), name)


def _option(action: argparse.Action, name: str) -> str:
    if not action.option_strings:
        return _argument(action)
    return name if action.nargs == 0 else f"{name} {_value(action)}"


def _value(action: argparse.Action) -> str:
    return action.metavar if isinstance(action.metavar, str) else action.dest.upper()


if __name__ == "__main__":
    write(Path(sys.argv[1]))
