"""What granian's parent process does otherwise than granian has it: it respawns ended workers and announces the start.

granian stops the whole server if a worker dies twice within some seconds. Here that is allowed: a model may have crashed it.
"""

import socket
import time
from collections import deque
from typing import Any

from server import config
from server.runtime import announcement

MOST, SECONDS = 20, 60.0
"""Number of workers that may be respawned within so many seconds. Beyond it, granian's own rule applies."""


LISTENING = 10.0
"""Most seconds to wait for the first worker to listen."""


def tolerate_ended_workers() -> None:
    """Make granian's parent process respawn workers that were killed. Call it in the parent process."""
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


def announce_the_start(settings: config.Config) -> None:
    """Make granian's parent process print where it serves, once a worker listens. Call it in the parent process."""
    from granian.server.common import AbstractServer

    startup: Any = AbstractServer.startup
    address = (settings.host, int(settings.bind.rpartition(":")[2]))

    def start_and_announce(server: Any, *arguments: Any) -> None:
        startup(server, *arguments)
        ends = time.monotonic() + LISTENING
        while time.monotonic() < ends:
            try:
                socket.create_connection(address, 1.0).close()
                break
            except OSError:
                time.sleep(0.02)
        announcement.announce()

    AbstractServer.startup = start_and_announce  # type: ignore[method-assign]
