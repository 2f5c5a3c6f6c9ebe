"""Limits on the memory that large request bodies of one process take together."""

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from server.core.errors import Unavailable

LARGE = 2**20
"""A body with at least this many bytes counts."""

MOST = 512 * 2**20
"""Approximate memory limit for all bodies and their values, bytes. A single body may exceed it."""

LARGE_TO_READ = 8 * 2**20
"""A body with at least this many bytes counts while it arrives, so slow ones make others of this size wait, but no smaller ones."""

MOST_READ = 8
"""Largest number of such bodies that arrive at the same time."""

_FREE = nullcontext()
_coming_in = threading.BoundedSemaphore(MOST_READ)

reading = threading.Lock()
"""Held while the JSON of a large body is parsed: one at a time, so that other threads can run in between."""

_held: dict[int, int] = {}
"""Bytes that count, by thread."""
_deciding = threading.Lock()


def room_to_read(size: int) -> AbstractContextManager[None]:
    """Return a context in which a body of this size is received.

    Raises
    ------
    Unavailable
        On entering, if the body is large and as many as allowed are being received.
    """
    return _FREE if size < LARGE_TO_READ else _room_for_large()


@contextmanager
def _room_for_large() -> Iterator[None]:
    if not _coming_in.acquire(blocking=False):
        raise Unavailable(
            f"{MOST_READ} bodies of {LARGE_TO_READ // 2**20} MB and more are being received already; try again"
        )
    try:
        yield
    finally:
        _coming_in.release()


def hold(size: int) -> None:
    """Count more bytes for the request of the calling thread, until :func:`leave`.

    Raises
    ------
    Unavailable
        If other requests leave too little memory. The bytes of this request are then no longer counted.
    """
    thread = threading.get_ident()
    with _deciding:
        own = _held.pop(thread, 0) + size
        others = sum(_held.values())
        if others and others + own > MOST:
            raise Unavailable(
                f"other large requests use {others // 2**20} MB, and this one needs {own // 2**20} MB: the most allowed together is "
                f"{MOST // 2**20} MB; try again, or send less in one request"
            )
        _held[thread] = own


def leave() -> None:
    """Stop counting the request of the calling thread, because it is answered."""
    if _held:
        _held.pop(threading.get_ident(), None)
