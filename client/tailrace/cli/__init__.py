"""The `tailrace` command: runs a subcommand, reports its errors, and returns its exit code."""

from __future__ import annotations

import os
import sys

from tailrace.cli.command_list import COMMANDS, command_module, parser_of
from tailrace.cli.messages import OK, PROBLEM, UNUSABLE, say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command, and return its exit code."""
    _hold_standard_streams()
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["help"]:
        arguments = [*arguments[1:2], "--help"]
    try:
        if not arguments or arguments[0] in ("-h", "--help"):
            from tailrace.cli.overview import print_overview

            print_overview()
            return OK if arguments else UNUSABLE
        if arguments[0] in ("-V", "--version"):
            return _print_version()
        if arguments[0] not in COMMANDS:
            from tailrace.similar_names import did_you_mean

            what = "option" if arguments[0].startswith("-") else "command"
            known = [*COMMANDS, "--help", "--version"]
            say(f"there is no {what} {arguments[0]!r}{did_you_mean(arguments[0], known)}; `tailrace --help` lists them")
            return UNUSABLE
        code = _run(arguments[0], arguments[1:])
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except BrokenPipeError:
        # The reader closed the pipe, such as `| head`. Python would report it again at exit.
        _drop_output()
        return OK
    except KeyboardInterrupt:
        return INTERRUPTED
    except OSError as error:
        _drop_output()
        say(f"the output can't be written: {error.strerror or error}")
        return PROBLEM


def _run(name: str, arguments: list[str]) -> int:
    from tailrace.transport import quota_warnings

    quota_warnings.set_output(say)
    module = command_module(name)
    try:
        options = parser_of(name).read(arguments)
        code: int = module.run(options)
    except (BrokenPipeError, KeyboardInterrupt):
        raise
    except Exception as error:
        if (failed := getattr(module, "failed", None)) is not None:
            return int(failed(error, arguments))
        return _report(name, error)
    return code


def _report(name: str, error: Exception) -> int:
    """Print an error that a user can act on, and return the exit code. Raises any other error again."""
    from tailrace.errors import TailraceError, Unusable
    from tailrace.similar_names import UnknownName

    if isinstance(error, Unusable):
        say(f"{error} (see tailrace {name} --help)")
        return UNUSABLE
    if isinstance(error, (TailraceError, UnknownName)):
        say(str(error))
        return PROBLEM
    raise error


def _print_version() -> int:
    from tailrace import __version__

    print(f"tailrace {__version__}", flush=True)
    return OK


def _hold_standard_streams() -> None:
    """Open closed standard streams on /dev/null, so that no other file gets their descriptor and our output."""
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
