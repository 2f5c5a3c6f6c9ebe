"""`AsyncClient`: the calls of `Client` as coroutines."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from functools import partial
from typing import Any

from tailrace.asynchronous.calculations import AsyncCalculation
from tailrace.asynchronous.campaigns import AsyncCampaign
from tailrace.asynchronous.catalog import AsyncCatalog
from tailrace.asynchronous.delegation import as_coroutine, as_coroutine_returning
from tailrace.asynchronous.handles import AsyncModel, AsyncStream
from tailrace.asynchronous.services import AsyncService
from tailrace.asynchronous.session import AsyncSession
from tailrace.asynchronous.tracking import AsyncTrackedExperiment, AsyncTrackedRun
from tailrace.asynchronous.worker_threads import Steps, Workers, WorkerServer, check_cancelled
from tailrace.handles.calculation import Calculation
from tailrace.handles.campaign import Campaign
from tailrace.handles.client import Client
from tailrace.handles.model import Model
from tailrace.handles.service import Service
from tailrace.handles.session import DEADLINE
from tailrace.handles.stream import Stream
from tailrace.handles.tracked_experiment import TrackedExperiment
from tailrace.results.facts import Facts
from tailrace.transport.server import Server

__all__ = ["AsyncClient"]

CONNECTIONS = 16


def _unpickled(server: Server, deadline: float, connections: int) -> AsyncClient:
    """Returns a client from its pickle: open, and with its token."""
    made = AsyncClient(server.url, server.token, deadline=deadline, connections=connections)
    made.server.ca_file = server.ca_file
    return made


def _stream(client: AsyncClient, made: Stream) -> AsyncStream:
    return client.stream(made.name)


def _model(client: AsyncClient, made: Model) -> AsyncModel:
    return client.model(made.name)


def _calculation(client: AsyncClient, made: Calculation) -> AsyncCalculation:
    return AsyncCalculation(client, made.id, identical=made.identical)


def _experiment(client: AsyncClient, made: TrackedExperiment) -> AsyncTrackedExperiment:
    return client.experiment(made.name)


def _service(client: AsyncClient, made: Service) -> AsyncService:
    return client.service(made.name)


def _campaign(client: AsyncClient, made: Campaign) -> AsyncCampaign:
    return client.campaign(made.name)


class AsyncClient(AsyncSession):
    """A Tailrace server, for programs that use :mod:`asyncio`: a `Client` whose calls are awaited.

    Its methods, and those of its models and streams, have the same names, arguments and results as those of `Client`,
    `Model` and `Stream`. Each call runs in a thread, so it does not block the event loop. If the caller is cancelled,
    the call ends at once and its connection is closed. As with any request without a response, the server may or may
    not have processed it. A post that has started is still delivered or kept in the spool.

    Parameters
    ----------
    url
        Address of the server. None: ``TAILRACE_URL``, or ``http://127.0.0.1:8080`` if that is not set.
    token
        Token that identifies the caller. None: ``TAILRACE_TOKEN``.
    deadline
        Seconds that one request may take, including its retries.
    connections
        Largest number of calls at the same time. Further calls wait, and their deadlines start when they do.

    Attributes
    ----------
    streams, models, recipes
        What the server has. ``await c.models`` returns a list that shows as a table, ``await c.models["runtime"]`` an
        `AsyncModel`; ``async for name in c.models`` iterates over the names.

    Raises
    ------
    Unusable
        If an argument is invalid.
    TailraceError
        By any call after `aclose`.

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
        server = WorkerServer(url, token)
        super().__init__(_WorkerClient(url, token, deadline=deadline), Workers(server, connections), server)
        if "IPython" in sys.modules:
            from tailrace.handles.ipython_completion import complete_names

            complete_names(AsyncClient)
        self.streams = AsyncCatalog(self._plain.streams, self._workers, lambda name, _: self.stream(name))
        self.models = AsyncCatalog(self._plain.models, self._workers, lambda name, _: self.model(name))
        self.recipes: AsyncCatalog[Facts] = AsyncCatalog(self._plain.recipes, self._workers, lambda _, facts: facts)

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Refuse further calls, and wait for the calls under way that are not cancelled."""
        await self._workers.close()

    @property
    def deadline(self) -> float:
        """Seconds that one request may take, including its retries."""
        return float(self._plain.deadline)

    @deadline.setter
    def deadline(self, seconds: float) -> None:
        self._plain.deadline = seconds

    def stream(self, name: str) -> AsyncStream:
        """Returns a handle on the stream `name`. Sends no request."""
        return AsyncStream(self, name)

    def model(self, name: str) -> AsyncModel:
        """Returns a handle on the model `name`. Sends no request."""
        return AsyncModel(self, name)

    def calculation(self, number: int) -> AsyncCalculation:
        """Returns a handle on the calculation with this number. Sends no request."""
        return AsyncCalculation(self, number)

    def service(self, name: str) -> AsyncService:
        """Returns a handle on the service `name`. Sends no request."""
        return AsyncService(self, name)

    services = as_coroutine(Client.services)
    create_service = as_coroutine_returning(Client.create_service, _service, "AsyncService")

    def experiment(self, name: str) -> AsyncTrackedExperiment:
        """Returns a handle on the experiment `name`. Sends no request."""
        return AsyncTrackedExperiment(self, name)

    def run(self, uid: str) -> AsyncTrackedRun:
        """Returns a handle on the run with this identifier. Sends no request."""
        return AsyncTrackedRun(self, uid)

    experiments = as_coroutine(Client.experiments)
    create_experiment = as_coroutine_returning(Client.create_experiment, _experiment, "AsyncTrackedExperiment")
    runs = as_coroutine(Client.runs)

    def campaign(self, name: str) -> AsyncCampaign:
        """Returns a handle on the campaign `name`. Sends no request."""
        return AsyncCampaign(self, name)

    campaigns = as_coroutine(Client.campaigns)
    create_campaign = as_coroutine_returning(Client.create_campaign, _campaign, "AsyncCampaign")
    compositions = as_coroutine(Client.compositions)
    create_composition = as_coroutine(Client.create_composition)
    calculations = as_coroutine(Client.calculations)
    # A calculation that was submitted twice would run twice, so a call that has started goes on.
    calculate = as_coroutine_returning(Client.calculate, _calculation, "AsyncCalculation", lasting=True)
    post = as_coroutine(Client.post, lasting=True)
    post_frame = as_coroutine(Client.post_frame)
    label = as_coroutine(Client.label)
    create_stream = as_coroutine_returning(Client.create_stream, _stream, "AsyncStream")
    create = as_coroutine_returning(Client.create, _model, "AsyncModel")
    send = as_coroutine(Client.send)
    receive = as_coroutine(Client.receive)

    def path(self, *parts: str) -> str:
        """Returns the path of a resource in the native API. See `Client.path`."""
        return str(self._plain.path(*parts))

    def page(self, *parts: str) -> str:
        """Returns the address of a page, such as that of a model. See `Client.page`."""
        return str(self._plain.page(*parts))

    async def pieces(
        self, path: str, query: Mapping[str, Any] | None = None, *, accept: str, stream: str | None = None
    ) -> AsyncIterator[bytes]:
        """Yields the response of a GET request in pieces. See `Client.pieces`."""
        steps = Steps(self._workers, partial(self._plain.pieces, path, query, accept=accept, stream=stream))
        try:
            async for piece in steps:
                yield piece
        finally:
            steps.close()

    def __reduce__(self) -> tuple[Any, ...]:
        server = Server(self.server.url, self.server.token, self.server.ca_file)
        return _unpickled, (server, self.deadline, self._workers.connections)

    def __repr__(self) -> str:
        return f"<Tailrace at {self.server.url}, asynchronous: await .streams, .models, .recipes>"


class _WorkerClient(Client):
    """A synchronous client whose calls run in worker threads."""

    def pieces(
        self, path: str, query: Mapping[str, Any] | None = None, *, accept: str, stream: str | None = None
    ) -> Iterator[bytes]:
        """Yields a response in pieces. Raises `Stopped` if the caller was cancelled: the response is then incomplete."""
        for piece in super().pieces(path, query, accept=accept, stream=stream):
            yield piece
            check_cancelled()
        check_cancelled()
