"""Events of one row of the log, ready to be sent. What is large waits on disk, since a client may read slowly.

A batch may have 13 MB of JSON, and ten times as much once it is decoded. A process has many event streams, and each may be
at such a batch. So only one of them at a time converts a row, and then holds none of it.
"""

import contextlib
import tempfile
import threading
from collections.abc import Iterator

from django.conf import settings

PIECE = 2**18
"""Bytes that are read from disk and sent at once. What is smaller stays in memory."""

MOST_ON_DISK = 2**26
"""Bytes of one row's events that wait on disk. The rest is made while it is sent; the row stays in memory until then."""

LONGEST_TURN = 5.0
"""Seconds that a stream waits for its turn. Then it goes on, so that one that hangs does not stop all others."""

_ONE_AT_A_TIME = threading.Lock()


@contextlib.contextmanager
def turn() -> Iterator[None]:
    """Run the block while no other event stream of this process reads and converts a row."""
    has_lock = _ONE_AT_A_TIME.acquire(timeout=LONGEST_TURN)
    try:
        yield
    finally:
        if has_lock:
            _ONE_AT_A_TIME.release()


class ReadyEvents:
    """Events that were made in advance.

    Parameters
    ----------
    events
        Makes them. It is exhausted, unless they are larger than :data:`MOST_ON_DISK`.

    Raises
    ------
    OSError
        If the disk is full.
    """

    def __init__(self, events: Iterator[bytes]) -> None:
        self._file = tempfile.SpooledTemporaryFile(PIECE, dir=str(settings.TAILRACE.var_dir))  # noqa: SIM115  (pieces() and close() close it)
        self._events = events
        for event in events:
            self._file.write(event)
            if self._file.tell() > MOST_ON_DISK:
                break
        self._size = self._file.tell()
        self._file.seek(0)

    def __bool__(self) -> bool:
        return self._size > 0

    def close(self) -> None:
        """Forget the events."""
        self._file.close()

    def pieces(self) -> Iterator[bytes]:
        """Yield the events in pieces, once."""
        with self._file:
            while piece := self._file.read(PIECE):
                yield piece
        yield from self._events
