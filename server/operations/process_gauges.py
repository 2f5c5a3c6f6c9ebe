"""Gauges of this process: replicas, memory, whether it is alive. They are updated every second."""

import time

from server.core.metrics import declarations
from server.learning.budgets.cpu_usage import resident_bytes
from server.learning.fold.replica_set import SETS

PAUSE = 1.0
"""Seconds between two updates."""

_updated_at = 0.0


def update_if_due() -> None:
    """Update the gauges if the last update was :data:`PAUSE` ago. The maintenance thread calls it."""
    global _updated_at
    now = time.monotonic()
    if now - _updated_at >= PAUSE:
        _updated_at = now
        update()


def update() -> None:
    """Update the gauges."""
    held = [replica for replicas in SETS.all() for replica in list(replicas.replicas.values())]
    declarations.replicas.set(len(held))
    declarations.replica_bytes.set(sum(replica.size for replica in held))
    declarations.resident_bytes.set(resident_bytes())
    declarations.processes.set(1)
    declarations.alive_at.set(time.monotonic())
