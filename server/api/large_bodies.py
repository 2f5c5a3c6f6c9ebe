"""Large bodies that a process has at hand: what several of them take of its memory together."""

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from server.streams.errors import Unavailable

LARGE = 2**20
"""Bytes from which on a body counts."""

MOST = 512 * 2**20
"""Bytes that all bodies and their values may take, about. A single one may take more than is left."""

LARGE_TO_READ = 8 * 2**20
"""Bytes from which on a body counts while it comes in: others' that come slowly keep such ones waiting, and no smaller ones."""

MOST_READ = 8
"""Such bodies that come in at once."""

_FREE = nullcontext()
_coming_in = threading.BoundedSemaphore(MOST_READ)

reading = threading.Lock()
"""Held while JSON of a large body is read: one after the other, others' threads have the interpreter in between."""

_held: dict[int, int] = {}
"""Bytes by thread."""
_deciding = threading.Lock()


def room_to_read(size: int) -> AbstractContextManager[None]:
    """Be among those whose bodies come in, where a body of so many bytes counts.

    Raises
    ------
    Unavailable
        If there are as many as may be; on entering.
    """
    return _FREE if size < LARGE_TO_READ else _room_for_large()


@contextmanager
def _room_for_large() -> Iterator[None]:
    if not _coming_in.acquire(blocking=False):
        raise Unavailable(
            f"{MOST_READ} bodies of {LARGE_TO_READ // 2**20} MB and more are coming in already; try again"
        )
    try:
        yield
    finally:
        _coming_in.release()


def hold(size: int) -> None:
    """Count so many bytes more for the calling thread's request, until :func:`leave`.

    Raises
    ------
    Unavailable
        If others hold so much that there is no room; the thread's own is no longer counted.
    """
    thread = threading.get_ident()
    with _deciding:
        own = _held.pop(thread, 0) + size
        others = sum(_held.values())
        if others and others + own > MOST:
            raise Unavailable(
                f"large requests that are under way take {others // 2**20} MB, and this one would take {own // 2**20} MB: at most "
                f"{MOST // 2**20} MB are taken at once; try again, or send less in one request"
            )
        _held[thread] = own


def leave() -> None:
    """The calling thread's request is answered."""
    if _held:
        _held.pop(threading.get_ident(), None)
