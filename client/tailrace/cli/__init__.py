"""The `tailrace` command. Each subcommand is a module here, imported when it is called and not before.

Such a module has ``add_arguments(parser)`` and ``run(options) -> int``, the exit code; its docstring is its help. One that
must not fail has ``failed(error, arguments) -> int`` besides, which is asked instead of ending in an error.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from tailrace.cli.parsing import Parser

__all__ = ["COMMANDS", "OK", "PROBLEM", "UNUSABLE", "main", "parser_of", "say"]

OK, PROBLEM, UNUSABLE = 0, 1, 2
"""Exit codes: done; the server or the disk said no; the command line can't be used."""

INTERRUPTED = 130

COMMANDS = {
    "post": "post one observation; keep it on disk where it can't be delivered",
    "flush": "deliver what was kept on disk",
    "predict": "ask a model for predictions",
    "walltime": "how much wall time to request for the next job",
    "label": "give a kept prediction its label",
    "watch": "follow models as they learn: a picture, a table, an alarm on drift",
    "metrics": "a model's prequential metrics",
    "history": "how a model's metrics changed",
    "models": "list the models",
    "streams": "list the streams",
    "recipes": "list the recipes that models are made from",
    "create": "make a model from a recipe",
    "expect": "say how often a stream should get observations",
    "delete": "delete a stream, with all that depends on it",
    "release": "let a model out of quarantine",
    "export": "save a stream's log as CSV or NDJSON",
    "download": "save a model's estimator",
    "completion": "print a completion script for bash, zsh or fish",
}

AFTER = """\
environment:
  TAILRACE_URL       the server, such as http://login1:8080 (default: http://127.0.0.1:8080)
  TAILRACE_TOKEN     the token to show it
  TAILRACE_SPOOL     directory for what can't be delivered (default: ~/.local/state/tailrace/spool)
  TAILRACE_SPOOL_MB  megabytes that it may take (default: 1024)
  TAILRACE_CLUSTER   the cluster's name, where the scheduler doesn't tell it
  TAILRACE_CA_FILE   certificates of your site's own authority
  HTTPS_PROXY, HTTP_PROXY, NO_PROXY are honoured.

first steps:
  tailrace create runtime --stream lammps-runtime --recipe runtime --target loop_time --unit s
                                                         a model, and the stream that it learns from
  tailrace post lammps-runtime x=8 y=8 z=16 --y 120.3    a job tells what it measured
  tailrace predict runtime x=8 y=16 z=8                  the model predicts the next one

exit codes:
  0  done     1  the server or the disk said no     2  the command line can't be used     130  interrupted
  `tailrace post` is different: it never fails the job that calls it (see its --help)

`tailrace COMMAND --help` tells more, with examples; `tailrace completion --help` how to complete names by Tab.
"""


def say(line: str) -> None:
    """One line on standard error, past Python's buffers: where it can't be written, nothing happens."""
    text = "".join(one if one.isprintable() else " " for one in line)
    try:
        os.write(2, f"tailrace: {text}\n".encode(errors="replace"))
    except OSError:
        pass


def parser_of(name: str) -> Parser:
    """The parser of one subcommand."""
    from tailrace.cli.parsing import made_for

    return made_for(name, import_module(f"tailrace.cli.{name}"))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command, and return its exit code."""
    _hold_standard_streams()
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["help"]:
        arguments = [*arguments[1:2], "--help"]
    try:
        if not arguments or arguments[0] in ("-h", "--help"):
            return _helped(asked=bool(arguments))
        if arguments[0] in ("-V", "--version"):
            return _versioned()
        if arguments[0] not in COMMANDS:
            from tailrace.names import did_you_mean

            what = "option" if arguments[0].startswith("-") else "command"
            known = [*COMMANDS, "--help", "--version"]
            say(f"there is no {what} {arguments[0]!r}{did_you_mean(arguments[0], known)}; `tailrace --help` lists them")
            return UNUSABLE
        code = _run(arguments[0], arguments[1:])
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except BrokenPipeError:
        # Whoever read our output has seen enough (`| head`). Python would complain about it once more at exit.
        _drop_output()
        return OK
    except KeyboardInterrupt:
        return INTERRUPTED
    except OSError as error:
        _drop_output()
        say(f"the output can't be written: {error.strerror or error}")
        return PROBLEM


def _run(name: str, arguments: list[str]) -> int:
    from tailrace import quota

    quota.show_by(say)
    module = import_module(f"tailrace.cli.{name}")
    try:
        options = parser_of(name).read(arguments)
        code: int = module.run(options)
    except (BrokenPipeError, KeyboardInterrupt):
        raise
    except Exception as error:
        if (failed := getattr(module, "failed", None)) is not None:
            return int(failed(error, arguments))
        return _told(name, error)
    return code


def _told(name: str, error: Exception) -> int:
    """Say what went wrong, if it is something that a user can do something about. Raises it again otherwise."""
    from tailrace.errors import TailraceError, Unusable
    from tailrace.names import UnknownName

    if isinstance(error, Unusable):
        say(f"{error} (see tailrace {name} --help)")
        return UNUSABLE
    if isinstance(error, (TailraceError, UnknownName)):
        say(str(error))
        return PROBLEM
    raise error


def _helped(asked: bool) -> int:
    from tailrace.cli.showing import bold

    width = max(map(len, COMMANDS))
    after = "\n".join(bold(line) if line.endswith(":") and line[0] != " " else line for line in AFTER.split("\n"))
    commands = "\n".join(f"  {name:{width}}  {about}" for name, about in COMMANDS.items())
    print(f"{bold('usage:')} tailrace COMMAND [OPTIONS]\n")
    print("Post what jobs measured to models that learn from it at once, and ask them.\n")
    print(f"{bold('commands:')}\n{commands}\n\n{after}", end="", flush=True)
    return OK if asked else UNUSABLE


def _versioned() -> int:
    from tailrace import __version__

    print(f"tailrace {__version__}", flush=True)
    return OK


def _hold_standard_streams() -> None:
    """Where standard input, output or error are closed, the next file opened would take their place, and get our words."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def _drop_output() -> None:
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    except OSError:
        pass
