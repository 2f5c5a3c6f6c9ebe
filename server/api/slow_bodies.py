"""Bodies that come slowly, where the server hands a thread to a request before its body is there (granian).

Nothing can end a thread's waiting then. So no caller has more than half of them waiting, and where most wait, the rest is for
callers that have none waiting: another user, or who comes from another address without a token, finds a thread.
"""

import time
from collections.abc import Hashable
from threading import get_ident
from typing import Any

from django.http import HttpRequest

from server.accounts import addresses
from server.streams.errors import TooMany

LONGEST = 0.05
"""Seconds that a thread waits for another to be done with a body of the same caller."""

PAUSE = 0.001
"""Seconds between two looks whether it is."""


class SlowBodies:
    """Knows the threads that read a body. Who begins when few do takes no lock, and asks nobody who the callers are.

    Parameters
    ----------
    threads
        How many threads there are.
    """

    def __init__(self, threads: int) -> None:
        self.most_of_one = max(1, threads // 2)
        self.most_of_all = max(1, threads * 3 // 4)
        self._reading: dict[int, HttpRequest] = {}
        """By thread, the first to begin first."""

    def watch(self, request: HttpRequest) -> None:
        """Have the request's body read within the bound."""
        request._stream = _Stream(request._stream, request, self)  # type: ignore[assignment]

    def read(self, request: HttpRequest, call: Any, *args: Any) -> Any:
        """What the call returns, which reads of the request's body.

        Raises
        ------
        TooMany
            If as many threads as may do so for this caller already.
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
                    f"{others} requests of yours are being read whose bodies come slowly, and keep threads from "
                    "others: send bodies whole, or wait",
                    retry_after=1,
                )
                refused.headers = {"Connection": "close"}  # type: ignore[attr-defined]
                raise refused
            time.sleep(PAUSE)

    def _too_many(self, thread: int, caller: Hashable) -> int:
        """How many threads began before this one to read bodies of the same caller, where those are too many; else 0."""
        before: list[HttpRequest] = []
        for other, request in self._reading.copy().items():
            if other == thread:
                break
            before.append(request)
        own = sum(_caller(request) == caller for request in before)
        return own if own >= self.most_of_one or len(before) >= self.most_of_all else 0


def _caller(request: HttpRequest) -> Hashable:
    identity = getattr(request, "identity", None)
    return addresses.site(request) if identity is None else identity.user_id


class _Stream:
    """A body that is read within the bound."""

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
