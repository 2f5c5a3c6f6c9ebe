"""`Spool`: keeps undelivered observations on disk, and delivers them later."""

from __future__ import annotations

import time

from tailrace.spool.directory import SpoolDirectory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path
    from typing import Any

    from tailrace.spool.delivery import Delivery
    from tailrace.transport.server import Server

__all__ = ["Spool"]


class Spool(SpoolDirectory):
    """A directory of undelivered observations.

    Parameters
    ----------
    directory
        The directory. It is created for the first observation. Observations that a server refuses for good move to
        ``refused/`` in it. None: ``TAILRACE_SPOOL``, or ``tailrace/spool`` in the user's state directory.
    size_mb
        Megabytes that it may take on disk. None: ``TAILRACE_SPOOL_MB``, or 1024.

    Attributes
    ----------
    place
        The directory, as a string.

    Raises
    ------
    Unusable
        If ``TAILRACE_SPOOL_MB`` is not a number.
    """

    def put(self, stream: str, observation: Mapping[str, Any], server: Server | None = None) -> Path:
        """Keep one observation, and return its file. When this returns, it is on disk.

        Parameters
        ----------
        stream
            Name of the stream.
        observation
            The observation. It must have a ``key``.
        server
            The only server to deliver it to. None: the server of the next flush.

        Raises
        ------
        SpoolFull
            If the spool has reached its size limit.
        SpoolError
            If the directory cannot be written.
        Unusable
            If no stream can have that name, or the observation cannot be written as JSON.
        """
        from pathlib import Path

        from tailrace.spool.in_flight import InFlight
        from tailrace.transport.observation_requests import check_stream

        check_stream(stream)

        return Path(InFlight(self, stream, observation, None if server is None else server.address).keep())

    def elsewhere(self, server: Server, moved: Collection[str] = ()) -> dict[str, int]:
        """Returns how many observations wait for other servers, by address. Reads every file.

        Parameters
        ----------
        server
            The server whose observations are not counted.
        moved
            Addresses of servers whose observations are not counted, either.
        """
        from tailrace.spool.delivery import elsewhere

        return elsewhere(self, server, moved)

    def flush(self, server: Server, *, deadline: float = 5.0, moved: Collection[str] = ()) -> Iterator[Delivery]:
        """Deliver the waiting observations, oldest first, many per request, until the deadline.

        Observations for another server stay in the spool, unless `moved` contains its address. If the server refuses a
        request for good, the request is split, so that only the invalid observations move to ``refused/``. Several
        flushes may run at once, also on other nodes: each observation counts once, because it has a key.

        Parameters
        ----------
        server
            The server to deliver to.
        deadline
            Seconds for the whole flush.
        moved
            Addresses of servers whose observations are delivered to `server`, too.

        Yields
        ------
        Delivery
            One for each observation that no longer waits.

        Raises
        ------
        Unreachable, Refused
            At the first request that cannot be delivered now. Its observations stay in the spool. If the error concerns
            one stream only (it does not exist, or the token may not post to it), the others are delivered first.
        SpoolError
            If the directory cannot be read or changed.
        """
        from tailrace.spool.delivery import flush

        return flush(self, server, time.monotonic() + deadline, moved)

    def refuse(self, stream: str, observation: Mapping[str, Any], reason: str, server: Server | None = None) -> Path:
        """Keep an observation that the server refused for good in ``refused/``, with the reason. Raises like `put`."""
        return self.set_aside(self.put(stream, observation, server), reason)
