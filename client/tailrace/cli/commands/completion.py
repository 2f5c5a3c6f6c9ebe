"""Print a script that completes commands, options and their values with Tab.

The script is made from the installed commands. Names of models, streams and recipes come from the server that --url or
TAILRACE_URL names. If the server does not answer within a second, no names are offered.

bash:
  tailrace completion bash > ~/.local/share/bash-completion/completions/tailrace
  or, for this shell only:  eval "$(tailrace completion bash)"

zsh:
  tailrace completion zsh > ~/.zfunc/_tailrace     (with `fpath+=~/.zfunc` before `compinit` in ~/.zshrc)

fish:
  tailrace completion fish > ~/.config/fish/completions/tailrace.fish
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from tailrace.cli.command_list import COMMANDS, parser_of
from tailrace.cli.messages import OK
from tailrace.cli.name_completion import kind_of, names_after
from tailrace.errors import Unusable

ASKS_A_SERVER = False
FILES = ("FILE", "DIR", "PATH")
ASK, SILENT = "tailrace completion --names=", "2>/dev/null </dev/null"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", nargs="?", choices=("bash", "zsh", "fish"), help="the shell to complete in")
    parser.add_argument(
        "--names", metavar="LINE", help="print the names that can complete this command line; the scripts use this"
    )


def run(options: argparse.Namespace) -> int:
    if options.names is not None:
        for name in names_after(options.names):
            print(name)
        return OK
    if options.shell is None:
        raise Unusable("the following arguments are required: shell")
    print({"bash": _bash, "zsh": _zsh, "fish": _fish}[options.shell](list(_described())), end="")
    return OK


class _Option(NamedTuple):
    """An option: its names, its help, and its values (none, given words, names from the server, files, or any text)."""

    names: tuple[str, ...]
    about: str
    takes_value: bool
    words: tuple[str, ...]
    is_file: bool
    is_name: bool
    value: str


class _Command(NamedTuple):
    """A subcommand: its options, the possible words of its arguments, and whether an argument is a name on the server."""

    name: str
    about: str
    options: tuple[_Option, ...]
    words: tuple[str, ...]
    takes_names: bool


def _described() -> Iterator[_Command]:
    for name, about in COMMANDS.items():
        parser = parser_of(name)
        options: list[_Option] = []
        words: list[str] = []
        takes_names = False
        for action in parser._actions:
            choices = tuple(map(str, action.choices or ()))
            if not action.option_strings:
                words += choices
                takes_names = takes_names or kind_of(action) is not None
                continue
            help_text = re.sub(r"\s+", " ", (action.help or "") % {**vars(action), "prog": parser.prog})
            value = action.metavar if isinstance(action.metavar, str) else action.dest.upper()
            takes_value = action.nargs != 0
            options.append(
                _Option(
                    tuple(action.option_strings), help_text, takes_value, choices, value in FILES, kind_of(action) is not None,
                    value.lower(),
                )
            )  # fmt: skip
        yield _Command(name, about, tuple(options), tuple(words), takes_names)


def _bash(commands: Iterable[_Command]) -> str:
    names = " ".join(COMMANDS)
    cases, values = [], []
    for command in commands:
        words = " ".join([*(name for option in command.options for name in option.names), *command.words])
        cases.append(f"        {command.name}) words='{words}'{'; names=1' if command.takes_names else ''} ;;")
        for option in command.options:
            if option.takes_value:
                where = "|".join(f"{command.name}:{name}" for name in option.names)
                given = (
                    "files=1"
                    if option.is_file
                    else "names=1"
                    if option.is_name
                    else f"words='{' '.join(option.words)}'"
                )
                values.append(f"        {where}) {given}; value=1 ;;")
    return "\n".join([
        "# bash completion of tailrace, made by: tailrace completion bash",
        "_tailrace() {",
        "    local current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} words='' files='' names='' value=''",
        "    COMPREPLY=()",
        "    # The shell splits --option=value into three words.",
        "    if [ \"$current\" = = ]; then",
        "        current=''",
        "    elif [ \"$before\" = = ]; then",
        "        before=${COMP_WORDS[COMP_CWORD-2]}",
        "    fi",
        "    if [ \"$COMP_CWORD\" -eq 1 ]; then",
        f"        COMPREPLY=($(compgen -W '{names} --help --version' -- \"$current\"))",
        "        return",
        "    fi",
        "    case \"${COMP_WORDS[1]}:$before\" in",
        f"        help:*) words='{names}'; value=1 ;;",
        *values,
        "    esac",
        "    if [ -z \"$value\" ]; then case \"${COMP_WORDS[1]}\" in",
        *cases,
        "    esac; fi",
        "    if [ -n \"$files\" ]; then",
        "        compopt -o filenames 2>/dev/null",
        "        mapfile -t COMPREPLY < <(compgen -f -- \"$current\")",
        "    else",
        "        COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))",
        "    fi",
        "    # Names come from the server. They hold no character that the shell treats specially.",
        "    if [ -n \"$names\" ] && [ \"${current:0:1}\" != - ]; then",
        f"        mapfile -t -O \"${{#COMPREPLY[@]}}\" COMPREPLY < <({ASK}\"${{COMP_LINE:0:COMP_POINT}}\" {SILENT})",
        "    fi",
        "}",
        "complete -F _tailrace tailrace",
        "",
    ])  # fmt: skip


def _zsh(commands: Iterable[_Command]) -> str:
    commands = list(commands)
    names = [f"        {_quoted(f'{command.name}:{command.about}')}" for command in commands]
    cases = []
    for command in commands:
        lines = [_zsh_option(option) for option in command.options]
        words = f"({' '.join(command.words)})" if command.words else "_tailrace_names" if command.takes_names else ""
        lines.append(f"'*: :{words}'")
        arguments = " \\\n                ".join(lines)
        cases += [f"        {command.name})", f"            _arguments \\\n                {arguments} ;;"]
    return "\n".join([
        "#compdef tailrace",
        "# zsh completion of tailrace, made by: tailrace completion zsh",
        "_tailrace_names() {",
        "    local line=\"tailrace ${(j: :)words[1,CURRENT-1]} $IPREFIX$PREFIX\"",
        f"    local -a names=(${{(f)\"$({ASK}\"$line\" {SILENT})\"}})",
        "    compadd -a names",
        "}",
        "_tailrace() {",
        "    local -a commands=(",
        *names,
        "    )",
        "    if (( CURRENT == 2 )); then",
        "        _describe command commands",
        "        return",
        "    fi",
        "    local command=$words[2]",
        "    shift words",
        "    (( CURRENT-- ))",
        "    case $command in",
        "        help) _describe command commands ;;",
        *cases,
        "    esac",
        "}",
        "if [ \"$funcstack[1]\" = _tailrace ]; then _tailrace \"$@\"; else compdef _tailrace tailrace; fi",
        "",
    ])  # fmt: skip


def _zsh_option(option: _Option) -> str:
    about = re.sub(r"([\[\]:\\])", r"\\\1", option.about)
    value = ""
    if option.takes_value:
        words = f"({' '.join(option.words)})" if option.words else " "
        action = "_files" if option.is_file else "_tailrace_names" if option.is_name else words
        value = f":{option.value}:{action}"
    equals = "=" if option.takes_value else ""
    return " ".join(_quoted(f"{name}{equals}[{about}]{value}") for name in option.names)


def _fish(commands: Iterable[_Command]) -> str:
    lines = [
        "# fish completion of tailrace, made by: tailrace completion fish",
        "function __tailrace_names",
        f"    {ASK}(commandline -cp | string join ' ') {SILENT}",
        "end",
        "complete -c tailrace -f",
    ]
    first = "__fish_is_first_arg"
    for command in commands:
        lines.append(f"complete -c tailrace -n {first} -a {command.name} -d {_quoted(command.about)}")
        here = f"-n '__fish_seen_subcommand_from {command.name}'"
        for option in command.options:
            names = " ".join(f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in option.names)
            value = "" if not option.takes_value else " -r -F" if option.is_file else " -x"
            if option.words or option.is_name:
                value += f" -a {_quoted('(__tailrace_names)' if option.is_name else ' '.join(option.words))}"
            lines.append(f"complete -c tailrace {here} {names}{value} -d {_quoted(option.about)}")
        if command.words:
            lines.append(f"complete -c tailrace {here} -a {_quoted(' '.join(command.words))}")
        if command.takes_names:
            lines.append(f"complete -c tailrace {here} -a '(__tailrace_names)'")
    return "\n".join([*lines, ""])


def _quoted(text: str) -> str:
    """Returns a text in single quotes, as one word in each of the three shells."""
    return "'" + text.replace("'", "'\\''") + "'"
