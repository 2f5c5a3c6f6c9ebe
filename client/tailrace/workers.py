"""Threads in which an `AsyncClient` makes its calls, so that no event loop waits for a server."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import ContextVar, copy_context
from typing import Any, Generic, TypeVar

from tailrace.errors import TailraceError, Unusable
from tailrace.server import Server

__all__ = ["Call", "Steps", "WorkerServer", "Workers", "check"]

Found = TypeVar("Found")

_END: Any = object()


class Stopped(Exception):
    """The caller was cancelled; ends the work in its thread, where nobody sees it."""


class Call:
    """One call, which a worker makes in one step or in several.

    Parameters
    ----------
    lasting
        Whether it goes on to its end although its caller is cancelled.
    """

    def __init__(self, lasting: bool = False) -> None:
        self._lasting = lasting
        self._stopped = False
        self._connection: socket.socket | None = None
        self._warnings: list[tuple[str, type[Warning]]] = []

    def hold(self, connection: socket.socket) -> None:
        """Remember the connection over which it asks. Raises `Stopped` if its caller was cancelled."""
        self._connection = connection
        self.check()

    def check(self) -> None:
        """Raise `Stopped` if its caller was cancelled."""
        if self._stopped:
            raise Stopped

    def stop(self) -> None:
        """End the request under way, and let no other follow."""
        if self._lasting:
            return
        self._stopped = True
        if self._connection is not None:
            try:
                # Not the method of a TLS socket, which would change it under the thread that reads from it.
                socket.socket.shutdown(self._connection, socket.SHUT_RDWR)
            except OSError:
                pass  # it is closed already

    def warned(self, message: str, category: type[Warning]) -> None:
        """Keep a warning until the caller can be told."""
        self._warnings.append((message, category))

    def tell(self, server: Server) -> None:
        """Issue the warnings, at the line that awaits."""
        while self._warnings:
            Server.warn(server, *self._warnings.pop(0))


_call: ContextVar[Call | None] = ContextVar("tailrace_call", default=None)


def check() -> None:
    """End the present call if its caller was cancelled: raises `Stopped`."""
    call = _call.get()
    if call is not None:
        call.check()


class WorkerServer(Server):
    """A server whose connections belong to the call of the worker that opens them."""

    def connected(self, connection: socket.socket) -> None:
        """See `Server.connected`."""
        call = _call.get()
        if call is not None:
            call.hold(connection)

    def warn(self, message: str, category: type[Warning]) -> None:
        """Leave it to the coroutine that awaits the call: only that knows the line of the caller."""
        call = _call.get()
        if call is None:
            super().warn(message, category)
        else:
            call.warned(message, category)


class Workers:
    """Threads, made when they are needed.

    Parameters
    ----------
    server
        What they ask.
    connections
        How many calls are made at once, at most; further ones wait for their turn.

    Raises
    ------
    Unusable
        If `connections` is no number above 0.
    """

    def __init__(self, server: WorkerServer, connections: int) -> None:
        if not isinstance(connections, int) or isinstance(connections, bool) or connections < 1:
            raise Unusable(f"connections={connections!r}: expected how many calls are made at once, such as 16")
        self.connections = connections
        self._server = server
        self._pool: ThreadPoolExecutor | None = None
        self._pid = 0
        self._closed = False
        self._under_way: set[Future[Any]] = set()

    async def do(self, work: Callable[[], Found], call: Call) -> Found:
        """Have a worker do something, and wait for it; whoever is cancelled meanwhile waits no longer.

        Raises
        ------
        TailraceError
            If the client is closed; and whatever `work` raises.
        """
        if self._closed:
            raise TailraceError("this AsyncClient is closed and asks nothing more: make another one")
        context = copy_context()
        context.run(_call.set, call)
        future: Future[Found] = self._threads().submit(context.run, work)
        self._under_way.add(future)
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            call.stop()
            raise
        finally:
            self._under_way.discard(future)
            call.tell(self._server)

    async def close(self) -> None:
        """Take no more calls, and wait for those that somebody awaits."""
        self._closed = True
        if self._pool is not None:
            self._pool.shutdown(wait=False)
        waiting = [asyncio.wrap_future(future) for future in self._under_way]
        if waiting:
            # Shielded: whoever gives up closing cancels nobody else's call.
            await asyncio.shield(asyncio.gather(*waiting, return_exceptions=True))

    def _threads(self) -> ThreadPoolExecutor:
        if self._pool is None or self._pid != os.getpid():  # a forked process has none of its parent's threads
            self._pool = ThreadPoolExecutor(self.connections, thread_name_prefix="tailrace")
            self._pid = os.getpid()
        return self._pool


class Steps(Generic[Found]):
    """An asynchronous iterator over what a plain one finds, each step of it made by a worker.

    Parameters
    ----------
    make
        Makes the plain iterator, a generator; called by the first step.
    """

    def __init__(self, workers: Workers, make: Callable[[], Iterator[Found]]) -> None:
        self._workers = workers
        self._make = make
        self._call = Call()
        self._plain: Any = None

    def __aiter__(self) -> Steps[Found]:
        return self

    async def __anext__(self) -> Found:
        found = await self._workers.do(self._next, self._call)
        if found is _END:
            raise StopAsyncIteration
        return found

    def close(self) -> None:
        """End it before its end, and close what it has open."""
        self._call.stop()
        try:
            if self._plain is not None:
                self._plain.close()
        except ValueError:
            pass  # a cancelled step is still in it, and ends as its connection is shut

    def _next(self) -> Found:
        if self._plain is None:
            self._plain = self._make()
        found: Found = next(self._plain, _END)
        return found
