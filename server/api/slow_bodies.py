"""Limits on threads that wait for slow bodies, for servers that start a thread before the body has arrived (granian).

Such a wait can't be interrupted. So at most half of the threads may wait for one caller. If three quarters wait, the others are
for callers that no thread waits for: another user, or another address without a token.
"""

import time
from collections.abc import Hashable
from threading import get_ident
from typing import Any

from django.http import HttpRequest

from server.accounts import addresses
from server.core.errors import TooMany

LONGEST = 0.05
"""Seconds that a thread waits until another thread has read a body of the same caller."""

PAUSE = 0.001
"""Seconds between two checks."""


class SlowBodies:
    """The threads that are reading a body. If they are few, starting to read takes no lock and no look at the callers.

    Parameters
    ----------
    threads
        Number of threads of this process.
    """

    def __init__(self, threads: int) -> None:
        self.most_of_one = max(1, threads // 2)
        self.most_of_all = max(1, threads * 3 // 4)
        self._reading: dict[int, HttpRequest] = {}
        """The request of each thread, the earliest first."""

    def watch(self, request: HttpRequest) -> None:
        """Apply the limits when the request's body is read."""
        request._stream = _Stream(request._stream, request, self)  # type: ignore[assignment]

    def read(self, request: HttpRequest, call: Any, *args: Any) -> Any:
        """Return the result of a call that reads from the request's body.

        Raises
        ------
        TooMany
            If as many threads as allowed are reading bodies of this caller.
        """
        thread, reading = get_ident(), self._reading
        reading[thread] = request
        try:
            if len(reading) > self.most_of_one:
                self._wait_for_room(thread, request)
            return call(*args)
        finally:
            del reading[thread]

    def _wait_for_room(self, thread: int, request: HttpRequest) -> None:
        mine = _caller(request)
        deadline = time.monotonic() + LONGEST
        while others := self._too_many(thread, mine):
            if time.monotonic() > deadline:
                refused = TooMany(
                    f"{others} of your requests have bodies that arrive slowly, and occupy threads that others need: "
                    "send each body at once, or wait",
                    retry_after=1,
                )
                refused.headers = {"Connection": "close"}  # type: ignore[attr-defined]
                raise refused
            time.sleep(PAUSE)

    def _too_many(self, thread: int, caller: Hashable) -> int:
        """Return how many threads started earlier to read bodies of the same caller, if they are too many; else 0."""
        before: list[HttpRequest] = []
        for other, request in self._reading.copy().items():
            if other == thread:
                break
            before.append(request)
        own = sum(_caller(request) == caller for request in before)
        return own if own >= self.most_of_one or len(before) >= self.most_of_all else 0


def _caller(request: HttpRequest) -> Hashable:
    identity = getattr(request, "caller", None)
    return addresses.client_network(request) if identity is None else identity.user_id


class _Stream:
    """A body whose reading is limited."""

    __slots__ = ("_bodies", "_request", "_stream")

    def __init__(self, stream: Any, request: HttpRequest, bodies: SlowBodies) -> None:
        self._stream = stream
        self._request = request
        self._bodies = bodies

    def read(self, *args: Any) -> Any:
        return self._bodies.read(self._request, self._stream.read, *args)

    def readline(self, *args: Any) -> Any:
        return self._bodies.read(self._request, self._stream.readline, *args)

    def close(self) -> None:
        self._stream.close()
