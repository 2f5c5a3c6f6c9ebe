"""How long the models may take for the points of one request, and whose fault it is that they took longer."""

from time import monotonic, thread_time

from django.conf import settings

from server.streams.errors import TailraceError, TooLarge, Unavailable

OWN = 0.5
"""Share of the time that the calling thread must have computed itself; else others kept the CPU from it."""


class TooSlow(TooLarge):
    """The points are too many for their models."""

    code = "too_slow"


class Busy(Unavailable):
    """They might not be, but others used the CPU."""


class TimeLimit:
    """``TAILRACE_BLOCK_SECONDS`` from now on, for work of the calling thread.

    Attributes
    ----------
    until
        When they are over, as :func:`time.monotonic` tells it, s.
    """

    __slots__ = ("_seconds", "_used", "until")

    def __init__(self) -> None:
        self._seconds: float = settings.TAILRACE.block_seconds
        self._used = thread_time()
        self.until = monotonic() + self._seconds

    @property
    def is_over(self) -> bool:
        return monotonic() > self.until

    def error(self, model: str, points: str, remedy: str) -> TailraceError:
        """What to tell whoever asked: to send less, or to try again if the time went to others."""
        if thread_time() - self._used > OWN * self._seconds:
            return TooSlow(f"model {model} takes more than {self._seconds:g} s for {points}{remedy}")
        return Busy(
            f"model {model} had no time for {points} within {self._seconds:g} s, as the server computed for others: try again, or "
            "send fewer at once"
        )
