"""Timed steps of a request, for tracing (:mod:`server.operations.traces`). Tracing is off by default."""

from time import perf_counter_ns
from typing import Protocol

Step = tuple[str, int, int]
"""Name, start and end of a step, in nanoseconds of :func:`time.perf_counter_ns`."""


class Steps:
    """Consecutive steps: each starts where the previous one ended."""

    def __init__(self) -> None:
        self.began = self._last = perf_counter_ns()
        self.all: list[Step] = []

    def end(self, name: str) -> None:
        """End the current step now and name it ``name``."""
        now = perf_counter_ns()
        self.all.append((name, self._last, now))
        self._last = now


class Tracer(Protocol):
    """Receives the steps of a request. The request's own thread calls it."""

    def note(self, name: str, began: int, steps: list[Step], attributes: dict[str, int | str]) -> None:
        """Record an operation that ended now, with its steps."""


class Tracing:
    """The tracer of this process; None if tracing is off, which costs nothing."""

    tracer: Tracer | None = None
