"""Threads that run the calls of an `AsyncClient`, so that they do not block the event loop."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import ContextVar, copy_context
from typing import Any, Generic, TypeVar

from tailrace.errors import TailraceError, Unusable
from tailrace.transport.server import Server

__all__ = ["Call", "Steps", "WorkerServer", "Workers", "check_cancelled"]

Found = TypeVar("Found")

_END: Any = object()


class Stopped(Exception):
    """The caller was cancelled. Ends the work in its thread; no caller sees this exception."""


class Call:
    """One call, which worker threads run in one or several steps.

    Parameters
    ----------
    lasting
        Whether the call continues to its end if its caller is cancelled.
    """

    def __init__(self, lasting: bool = False) -> None:
        self._lasting = lasting
        self._stopped = False
        self._connection: socket.socket | None = None
        self._warnings: list[tuple[str, type[Warning]]] = []

    def hold(self, connection: socket.socket) -> None:
        """Remember the connection that the call uses. Raises `Stopped` if the caller was cancelled."""
        self._connection = connection
        self.check_cancelled()

    def check_cancelled(self) -> None:
        """Raises `Stopped` if the caller was cancelled."""
        if self._stopped:
            raise Stopped

    def stop(self) -> None:
        """Break off the request under way, and prevent further ones. Does nothing if the call is lasting."""
        if self._lasting:
            return
        self._stopped = True
        if self._connection is not None:
            try:
                # The method of a TLS socket would change the socket while another thread reads from it.
                socket.socket.shutdown(self._connection, socket.SHUT_RDWR)
            except OSError:
                pass  # it is closed already

    def add_warning(self, message: str, category: type[Warning]) -> None:
        """Keep a warning until `issue_warnings`."""
        self._warnings.append((message, category))

    def issue_warnings(self, server: Server) -> None:
        """Issue the kept warnings, for the line of the program that awaits the call."""
        while self._warnings:
            Server.warn(server, *self._warnings.pop(0))


_call: ContextVar[Call | None] = ContextVar("tailrace_call", default=None)


def check_cancelled() -> None:
    """Raises `Stopped` if the caller of the current call was cancelled."""
    call = _call.get()
    if call is not None:
        call.check_cancelled()


class WorkerServer(Server):
    """A server that assigns each new connection to the call that its thread runs."""

    def connected(self, connection: socket.socket) -> None:
        """Assign the connection to the current call. See `Server.connected`."""
        call = _call.get()
        if call is not None:
            call.hold(connection)

    def warn(self, message: str, category: type[Warning]) -> None:
        """Keep a warning for the coroutine that awaits the call: only the coroutine knows the caller's line."""
        call = _call.get()
        if call is None:
            super().warn(message, category)
        else:
            call.add_warning(message, category)


class Workers:
    """A pool of threads, started when they are needed.

    Parameters
    ----------
    server
        The server that gets the requests.
    connections
        Largest number of calls at the same time. Further calls wait.

    Raises
    ------
    Unusable
        If `connections` is not a whole number above 0.
    """

    def __init__(self, server: WorkerServer, connections: int) -> None:
        if not isinstance(connections, int) or isinstance(connections, bool) or connections < 1:
            raise Unusable(f"connections={connections!r}: expected the number of calls at the same time, such as 16")
        self.connections = connections
        self._server = server
        self._pool: ThreadPoolExecutor | None = None
        self._pid = 0
        self._closed = False
        self._under_way: set[Future[Any]] = set()

    async def do(self, work: Callable[[], Found], call: Call) -> Found:
        """Run `work` in a thread, and return its result. If the caller is cancelled, stop `call`.

        Raises
        ------
        TailraceError
            If the client is closed.
        Exception
            Any error that `work` raises.
        """
        if self._closed:
            raise TailraceError("this AsyncClient is closed: make another one")
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
            call.issue_warnings(self._server)

    async def close(self) -> None:
        """Refuse further calls, and wait for the calls under way that are not cancelled."""
        self._closed = True
        if self._pool is not None:
            self._pool.shutdown(wait=False)
        waiting = [asyncio.wrap_future(future) for future in self._under_way]
        if waiting:
            # Shielded, so that cancelling close() does not cancel the calls.
            await asyncio.shield(asyncio.gather(*waiting, return_exceptions=True))

    def _threads(self) -> ThreadPoolExecutor:
        if self._pool is None or self._pid != os.getpid():  # a forked process has none of its parent's threads
            self._pool = ThreadPoolExecutor(self.connections, thread_name_prefix="tailrace")
            self._pid = os.getpid()
        return self._pool


class Steps(Generic[Found]):
    """An asynchronous iterator that runs each step of a synchronous generator in a worker thread.

    Parameters
    ----------
    workers
        The threads.
    make
        Makes the generator. The first step calls it.
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
        """Stop the iteration, and close the generator."""
        self._call.stop()
        try:
            if self._plain is not None:
                self._plain.close()
        except ValueError:
            pass  # a cancelled step still runs in it, and ends because its connection is shut down

    def _next(self) -> Found:
        if self._plain is None:
            self._plain = self._make()
        found: Found = next(self._plain, _END)
        return found
