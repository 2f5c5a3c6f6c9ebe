"""Whether the threads beside the requests come on: the probe of liveness asks."""

import threading

THREADS = ("maintenance", "folds")
"""Their names."""

_moves: dict[str, int] = {}


def moved(name: str | None = None) -> None:
    """Note that a thread, this one unless another is named, comes on: between pieces of work, and within those that take long."""
    name = name or threading.current_thread().name
    _moves[name] = _moves.get(name, 0) + 1


def moves() -> dict[str, int]:
    """By thread: a number that changes for as long as it comes on."""
    return {name: _moves.get(name, 0) for name in THREADS}
