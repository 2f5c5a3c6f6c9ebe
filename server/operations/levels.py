"""What this process is at the moment, said every second for whichever process is asked for the metrics."""

import time

from server.learning.budgets import resident_bytes
from server.learning.replicaset import SETS
from server.streams import instruments

PAUSE = 1.0
"""Seconds between two times that it is said."""

_said = 0.0


def say_due() -> None:
    """Say it, if it is time. To be called again and again beside the requests."""
    global _said
    now = time.monotonic()
    if now - _said >= PAUSE:
        _said = now
        say()


def say() -> None:
    """Say it now."""
    held = [replica for replicas in SETS.all() for replica in list(replicas.replicas.values())]
    instruments.replicas.level.set(len(held))
    instruments.replica_bytes.level.set(sum(replica.size for replica in held))
    instruments.resident_bytes.level.set(resident_bytes())
    instruments.processes.level.set(1)
    instruments.alive_at.level.set(time.monotonic())
