"""Counters by which the liveness probe sees that the background threads make progress."""

import threading

THREADS = ("maintenance", "folds", "records")
"""Names of the background threads."""

_counts: dict[str, int] = {}


def mark_alive(name: str | None = None) -> None:
    """Increase the counter of a thread (default: this one). Called between pieces of work, and within long ones."""
    name = name or threading.current_thread().name
    _counts[name] = _counts.get(name, 0) + 1


def counts() -> dict[str, int]:
    """Return the counter of each background thread. It changes as long as the thread makes progress."""
    return {name: _counts.get(name, 0) for name in THREADS}
