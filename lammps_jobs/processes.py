"""Child processes that can be ended whole: each leads a group of its own, with its children in it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

__all__ = ["end", "start"]

PR_SET_PDEATHSIG = 1


def start(
    command: Sequence[str],
    output: IO[bytes],
    *,
    cwd: Path,
    environment: Mapping[str, str],
    end_with_parent: bool = False,
) -> subprocess.Popen[bytes]:
    """Start `command` in a process group of its own, with `output` for all it says.

    Ctrl-C in a terminal does not reach it: whoever started it must `end` it. With `end_with_parent`, Linux ends
    it (SIGTERM) even where the parent is killed and can't; elsewhere it would go on.
    """
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        cwd=cwd,
        env=dict(environment),
        start_new_session=True,
        preexec_fn=_death_signal() if end_with_parent else None,
    )


def end(process: subprocess.Popen[bytes], *, grace: float = 10.0) -> None:
    """End a process and its group: ask first, insist after `grace` seconds."""
    _signal_group(process, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(grace)
    # Also after a clean end: a leader that was killed may have left its group behind.
    _signal_group(process, signal.SIGKILL)
    process.wait()


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _death_signal() -> Callable[[], None] | None:
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl  # Looked up here: a forked child should do next to nothing.

    def set_death_signal() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)

    return set_death_signal
