"""Child processes in process groups of their own, so that each can be ended together with its children."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

__all__ = ["end", "start"]

PR_SET_PDEATHSIG = 1
INTERRUPTIONS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def start(
    command: Sequence[str],
    output: IO[bytes],
    *,
    cwd: Path,
    environment: Mapping[str, str],
    end_with_parent: bool = False,
) -> subprocess.Popen[bytes]:
    """Start `command` in a process group of its own, with its output in `output`.

    Ctrl-C in a terminal doesn't reach it: the caller must `end` it. With `end_with_parent`, Linux ends it (SIGTERM)
    when the parent dies, even if the parent is killed. On other systems it continues to run. If this process is
    interrupted while it starts the other, it ends that one, and then handles the signal.
    """
    process = None
    try:
        with _interruptions_deferred():
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=cwd,
                env=dict(environment),
                start_new_session=True,
                preexec_fn=_death_signal() if end_with_parent else None,
            )
    except BaseException:
        if process is not None:
            end(process)
        raise
    return process


def end(process: subprocess.Popen[bytes], *, grace: float = 10.0, first: signal.Signals = signal.SIGTERM) -> None:
    """End a process and its group by the signal `first`, and by SIGKILL after `grace` seconds."""
    _signal_group(process, first)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(grace)
    # Also if the leader has ended: other processes of its group may still run.
    _signal_group(process, signal.SIGKILL)
    process.wait()


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


@contextlib.contextmanager
def _interruptions_deferred() -> Iterator[None]:
    """Handle signals that arrive meanwhile at the end.

    `Popen` would lose an exception that a handler raises: either the new process with it, or the exception itself,
    because Python ignores those of the hooks that it calls after a fork (such as that of `logging`).
    """
    if threading.current_thread() is not threading.main_thread():  # signals are handled there, and only there
        yield
        return
    came: list[int] = []
    handlers = {number: signal.getsignal(number) for number in INTERRUPTIONS}
    own = {number: handler for number, handler in handlers.items() if callable(handler)}
    try:
        for number in own:
            signal.signal(number, lambda which, frame: came.append(which))
        yield
    finally:
        for number, handler in own.items():
            signal.signal(number, handler)
        for which in came:
            signal.raise_signal(which)


def _death_signal() -> Callable[[], None] | None:
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(
        None, use_errno=True
    ).prctl  # looked up before the fork, because a forked child should do very little

    def set_death_signal() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)

    return set_death_signal
