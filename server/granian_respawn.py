"""granian ends the whole server when a worker dies twice within some seconds. Here a worker may: a model ended it."""

import time
from collections import deque
from typing import Any

MOST, SECONDS = 20, 60.0
"""Workers that may take the place of others within so many seconds; beyond, granian's own rule holds."""


def tolerate_ended_workers() -> None:
    """Have granian's parent process go on starting workers in the place of those that were ended. To be called in it."""
    from granian.server.common import AbstractServer

    respawn = AbstractServer._respawn_workers
    recent: deque[float] = deque()

    def respawn_and_forget(server: Any, workers: Any, *arguments: Any, **options: Any) -> None:
        respawn(server, workers, *arguments, **options)
        now = time.monotonic()
        recent.extend([now] * len(workers))
        while recent and now - recent[0] > SECONDS:
            recent.popleft()
        if len(recent) < MOST:
            server.respawned_wrks.clear()

    AbstractServer._respawn_workers = respawn_and_forget  # type: ignore[method-assign, assignment]
