"""`AsyncClient`: everything that `Client` does, awaited."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from functools import partial
from typing import Any

from tailrace.async_catalog import AsyncCatalog
from tailrace.async_handles import AsyncModel, AsyncStream
from tailrace.awaited import Asking, awaited, awaited_as
from tailrace.client import DEADLINE, Client
from tailrace.model import Model
from tailrace.results import Facts
from tailrace.server import Server
from tailrace.stream import Stream
from tailrace.workers import Steps, Workers, WorkerServer, check

__all__ = ["AsyncClient"]

CONNECTIONS = 16


def _remade(server: Server, deadline: float, connections: int) -> AsyncClient:
    """A client as it was pickled, open and with its token."""
    made = AsyncClient(server.url, server.token, deadline=deadline, connections=connections)
    made.server.ca_file = server.ca_file
    return made


def _stream(client: AsyncClient, made: Stream) -> AsyncStream:
    return client.stream(made.name)


def _model(client: AsyncClient, made: Model) -> AsyncModel:
    return client.model(made.name)


class AsyncClient(Asking):
    """A Tailrace server, for programs that use :mod:`asyncio`: a `Client` whose calls are awaited.

    Its methods, and those of the models and streams that it gives, have the names, arguments and results of the plain
    ones. Each call is made in a thread, so that the event loop goes on meanwhile. Who is cancelled waits no longer, and
    the request is broken off: like one without an answer, it may or may not have been done. A post that has begun is
    delivered or kept in the spool all the same.

    Parameters
    ----------
    url
        Where it is; ``TAILRACE_URL`` where this is None, else ``http://127.0.0.1:8080``.
    token
        What to show it; ``TAILRACE_TOKEN`` where this is None.
    deadline
        Seconds that one request may take, with all its retries.
    connections
        Calls that are made at once, at most. Further ones wait for their turn; their deadlines begin with it.

    Attributes
    ----------
    streams, models, recipes
        What there is: ``await c.models`` is a list that shows itself as a table, ``await c.models["runtime"]`` is an
        `AsyncModel`, ``async for name in c.models`` goes through the names.

    Raises
    ------
    Unusable
        If an argument can't be used. Any call after `aclose` raises a `TailraceError`.

    Examples
    --------
    >>> import asyncio
    >>> from tailrace import AsyncClient
    >>> async def main():
    ...     async with AsyncClient() as c:
    ...         model = c.model("runtime")
    ...         return await asyncio.gather(*(model.predict(x=x, y=16, z=8) for x in range(8, 65)))
    >>> predictions = asyncio.run(main())  # doctest: +SKIP
    """

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        deadline: float = DEADLINE,
        connections: int = CONNECTIONS,
    ) -> None:
        self.server = WorkerServer(url, token)
        super().__init__(_Plain(url, token, deadline=deadline), Workers(self.server, connections))
        self._plain.server = self.server
        self.streams = AsyncCatalog(self._plain.streams, self._workers, lambda name, _: self.stream(name))
        self.models = AsyncCatalog(self._plain.models, self._workers, lambda name, _: self.model(name))
        self.recipes: AsyncCatalog[Facts] = AsyncCatalog(self._plain.recipes, self._workers, lambda _, facts: facts)

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Take no more calls, and wait for those that somebody awaits; not for cancelled ones."""
        await self._workers.close()

    @property
    def deadline(self) -> float:
        """Seconds that one request may take, with all its retries."""
        return float(self._plain.deadline)

    @deadline.setter
    def deadline(self, seconds: float) -> None:
        self._plain.deadline = seconds

    def stream(self, name: str) -> AsyncStream:
        """A handle on the stream `name`; asks nothing."""
        return AsyncStream(self, name)

    def model(self, name: str) -> AsyncModel:
        """A handle on the model `name`; asks nothing."""
        return AsyncModel(self, name)

    post = awaited(Client.post, lasting=True)
    post_frame = awaited(Client.post_frame)
    label = awaited(Client.label)
    create_stream = awaited_as(Client.create_stream, _stream, "AsyncStream")
    create = awaited_as(Client.create, _model, "AsyncModel")
    send = awaited(Client.send)
    receive = awaited(Client.receive)

    def path(self, *parts: str) -> str:
        """The path of a thing under the native API."""
        return str(self._plain.path(*parts))

    async def pieces(
        self, path: str, query: Mapping[str, Any] | None = None, *, accept: str, stream: str | None = None
    ) -> AsyncIterator[bytes]:
        """What is at a path, piece by piece, at constant memory; Unreachable where it breaks off."""
        steps = Steps(self._workers, partial(self._plain.pieces, path, query, accept=accept, stream=stream))
        try:
            async for piece in steps:
                yield piece
        finally:
            steps.close()

    def __reduce__(self) -> tuple[Any, ...]:
        server = Server(self.server.url, self.server.token, self.server.ca_file)
        return _remade, (server, self.deadline, self._workers.connections)

    def __repr__(self) -> str:
        return f"<Tailrace at {self.server.url}, asynchronous: await .streams, .models, .recipes>"


class _Plain(Client):
    """The plain client whose calls a worker makes."""

    def pieces(
        self, path: str, query: Mapping[str, Any] | None = None, *, accept: str, stream: str | None = None
    ) -> Iterator[bytes]:
        """See `Client.pieces`; an answer that was broken off by a cancelled caller isn't taken for a whole one."""
        for piece in super().pieces(path, query, accept=accept, stream=stream):
            yield piece
            check()
        check()
