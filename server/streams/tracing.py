"""Where time goes in one request, told to whoever traces (:mod:`server.operations.traces`); most often nobody does."""

from time import perf_counter_ns
from typing import Protocol

Step = tuple[str, int, int]
"""A named stretch of time: its name, and when it began and ended, in nanoseconds of :func:`time.perf_counter_ns`."""


class Steps:
    """Stretches of time, each beginning where the one before it ended."""

    def __init__(self) -> None:
        self.began = self._last = perf_counter_ns()
        self.all: list[Step] = []

    def end(self, name: str) -> None:
        """The stretch that ends now is called ``name``."""
        now = perf_counter_ns()
        self.all.append((name, self._last, now))
        self._last = now


class Tracer(Protocol):
    """Keeps what a request was made of. It is called by the request's own thread."""

    def note(self, name: str, began: int, steps: list[Step], attributes: dict[str, int | str]) -> None:
        """Something that ended now, with the steps that it was made of."""


class Tracing:
    """Who traces in this process; None is nobody, and costs nothing."""

    tracer: Tracer | None = None
