"""Time limit of a request for the work of its models."""

from time import monotonic, thread_time

from django.conf import settings

from server.core.errors import TailraceError, TooLarge, Unavailable

OWN_SHARE = 0.5
"""If the calling thread used the CPU for more than this share of the time, its model is too slow.

If less, the server is busy.
"""


class TooSlow(TooLarge):
    """A model needs more time for the points than allowed."""

    code = "too_slow"


class Busy(Unavailable):
    """The time is over because other threads used the CPU."""


class TimeLimit:
    """A limit of ``TAILRACE_BLOCK_SECONDS`` from now on, for work of the calling thread.

    Attributes
    ----------
    until
        When the time is over, by :func:`time.monotonic`, s.
    """

    __slots__ = ("_seconds", "_used", "until")

    def __init__(self) -> None:
        self._seconds: float = settings.TAILRACE.block_seconds
        self._used = thread_time()
        self.until = monotonic() + self._seconds

    @property
    def is_over(self) -> bool:
        return monotonic() > self.until

    def error(
        self, model: str, points: str, remedy: str, if_busy: str = "try again, or send fewer at once"
    ) -> TailraceError:
        """Return the error for the caller: send less, or try again if other threads used the time."""
        if thread_time() - self._used > OWN_SHARE * self._seconds:
            return TooSlow(f"model {model} takes more than {self._seconds:g} s for {points}{remedy}")
        return Busy(
            f"model {model} did not finish {points} within {self._seconds:g} s, because the server was busy with other "
            f"requests: {if_busy}"
        )
