"""Processes that go on sending: beside a training for W&B's library, and after its end for what is left."""

from __future__ import annotations

import atexit
import os
import sys

from tailrace.tracking.spool_directory import SpooledFile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tailrace.tracking.backends import Backend

__all__ = ["at_exit", "prepare", "start_helper"]

SWITCH = "TAILRACE_TRACKING_HANDOVER"

_left: list[Callable[[], SpooledFile | None]] = []
_registered = False


def prepare() -> None:
    """Have `at_exit` take effect. Called early, because functions that are registered later run earlier."""
    global _registered
    if not _registered:
        _registered = True
        atexit.register(_hand_over)


def at_exit(release: Callable[[], SpooledFile | None]) -> None:
    """When this process ends, have another one send what it still has: `release` stops it, and returns the file."""
    _left.append(release)


def _hand_over() -> None:
    for release in _left:
        try:
            found = release()
            if found is not None:
                start_helper(found, found.backends, follow=False)
        except Exception:  # noqa: S110 - the process ends; what is left is in the spool
            pass


def start_helper(found: SpooledFile, backends: Sequence[Backend], *, follow: bool) -> None:
    """Start a process that sends a file to back ends, detached from this one. If it cannot start, `tailrace flush` does it.

    Parameters
    ----------
    follow
        Whether to go on while this process writes the file.
    """
    if not sys.executable or (not follow and os.environ.get(SWITCH, "1") == "0"):
        return
    package = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([package, *filter(None, [os.environ.get("PYTHONPATH")])]),
    }
    for backend in backends:
        token = backend.secrets.get("token")
        if isinstance(token, str):
            environment["MLFLOW_TRACKING_TOKEN" if backend.kind == "mlflow" else "TAILRACE_TOKEN"] = token
    command = [sys.executable, "-m", "tailrace.tracking.follow", found.path, *(one.key for one in backends)]
    try:
        import subprocess

        subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment,
            start_new_session=True, cwd="/",
        )  # fmt: skip
    except (OSError, ValueError):
        pass
