"""`AsyncModel` and `AsyncStream`: the calls of `Model` and `Stream` as coroutines."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, overload

from tailrace.asynchronous.delegation import AsyncDelegate, Deferred, as_coroutine, as_coroutine_returning
from tailrace.asynchronous.worker_threads import Call, Steps
from tailrace.handles.log_reader import pages
from tailrace.handles.model import Model
from tailrace.handles.predictor import LEVEL, Predictor
from tailrace.handles.stream import Stream

if TYPE_CHECKING:
    from pandas import DataFrame, Series

    from tailrace.asynchronous.session import AsyncSession
    from tailrace.results.predictions import Prediction, Predictions

__all__ = ["AsyncModel", "AsyncStream"]


def _same_handle(handle: AsyncModel, plain: Model) -> AsyncModel:
    return handle


class AsyncModel(AsyncDelegate):
    """A handle on one model: a `Model` whose methods are awaited. `AsyncClient.model` returns it.

    The properties `stream`, `unit` and `features` send requests, so they are awaited, too: ``await model.unit``.

    Attributes
    ----------
    name
        Name of the model.
    predict
        Predicts: ``await model.predict(x=8, y=16, z=8)``. See `Predictor`.
    at
        Number of the observation after which the model is inspected. None: the current state.
    """

    def __init__(self, session: AsyncSession, name: str, at: int | None = None) -> None:
        super().__init__(Model(session._plain, name, at), session._workers)
        self._session = session
        self.name = name
        self.at = at
        self.predict = AsyncPredictor(self)

    info = as_coroutine(Model.info)
    metrics = as_coroutine(Model.metrics)
    history = as_coroutine(Model.history)
    record = as_coroutine(Model.record)
    stats = as_coroutine(Model.stats)
    download = as_coroutine(Model.download)
    delete = as_coroutine(Model.delete)
    plot = as_coroutine(Model.plot)
    scatter = as_coroutine(Model.scatter)

    @property
    def stream(self) -> Deferred[AsyncStream]:
        """The stream that the model learns from: ``await model.stream``."""

        async def look() -> AsyncStream:
            return AsyncStream(self._session, (await self._deferred("stream")).name)

        return Deferred(look, f"stream of {self!r}")

    @property
    def page_url(self) -> str:
        """Address of the model's page on the server. See `Model.page_url`."""
        return str(self._plain.page_url)

    @property
    def unit(self) -> Deferred[str]:
        """The target's unit: ``await model.unit``. See `Model.unit`."""
        return self._deferred("unit")

    @property
    def features(self) -> Deferred[dict[str, str]]:
        """Kinds of the features, by name: ``await model.features``. See `Model.features`."""
        return self._deferred("features")

    def as_of(self, n: int) -> AsyncModel:
        """Returns a handle on the state after observation `n`. Sends no request. See `Model.as_of`."""
        return AsyncModel(self._session, self.name, self._plain.as_of(n).at)

    async def wait(self, timeout: float | None = None) -> AsyncModel:
        """Wait until the model has learned the stream's history. See `Model.wait`."""
        import asyncio

        pauses = Steps(self._workers, partial(Model._pauses, self._plain, timeout))
        try:
            async for pause in pauses:
                await asyncio.sleep(pause)
        finally:
            pauses.close()
        return self

    release = as_coroutine_returning(Model.release, _same_handle, "AsyncModel")

    def __reduce__(self) -> tuple[Any, ...]:
        return AsyncModel, (self._session, self.name, self.at)

    def __repr__(self) -> str:
        as_of = "" if self.at is None else f" as of observation {self.at}"
        return f"<model {self.name}{as_of} at {self._session.server.url}, asynchronous: await .info() …>"


class AsyncPredictor:
    """``model.predict`` of an `AsyncModel`: a coroutine function."""

    def __init__(self, model: AsyncModel) -> None:
        self._model = model

    @overload
    async def __call__(
        self,
        points: Iterable[Mapping[str, Any]] | DataFrame,
        /,
        *,
        level: float = ...,
        strict: bool = ...,
    ) -> Predictions: ...
    @overload
    async def __call__(
        self,
        points: Mapping[str, Any] | Series | None = None,
        /,
        *,
        level: float = ...,
        identifier: str | None = ...,
        track: bool = ...,
        strict: bool = ...,
        **features: Any,
    ) -> Prediction: ...
    async def __call__(
        self,
        points: Any = None,
        /,
        *,
        level: float = LEVEL,
        identifier: str | None = None,
        track: bool = False,
        strict: bool = False,
        **features: Any,
    ) -> Prediction | Predictions:
        model = self._model
        options: dict[str, Any] = {"level": level, "identifier": identifier, "track": track, "strict": strict}
        return await model._workers.do(partial(model._plain.predict, points, **options, **features), Call())

    __call__.__doc__ = Predictor.__call__.__doc__

    def __repr__(self) -> str:
        return f"<predict of {self._model.name}: await predict(feature=value, …), predict([{{…}}, …]) or predict(DataFrame)>"


class AsyncStream(AsyncDelegate):
    """A handle on one stream: a `Stream` whose methods are awaited. `AsyncClient.stream` returns it.

    The properties `head`, `unit`, `features` and `models` send requests, so they are awaited, too: ``await
    stream.head``.

    Attributes
    ----------
    name
        Name of the stream.
    """

    def __init__(self, session: AsyncSession, name: str) -> None:
        super().__init__(Stream(session._plain, name), session._workers)
        self._session = session
        self.name = name

    info = as_coroutine(Stream.info)
    tail = as_coroutine(Stream.tail)
    export = as_coroutine(Stream.export)
    to_frame = as_coroutine(Stream.to_frame)
    retract = as_coroutine(Stream.retract)
    expect = as_coroutine(Stream.expect)
    delete = as_coroutine(Stream.delete)
    plot = as_coroutine(Stream.plot)

    @property
    def page_url(self) -> str:
        """Address of the stream's page on the server. See `Stream.page_url`."""
        return str(self._plain.page_url)

    @property
    def head(self) -> Deferred[int]:
        """Number of the last observation: ``await stream.head``. See `Stream.head`."""
        return self._deferred("head")

    @property
    def unit(self) -> Deferred[str]:
        """The target's unit: ``await stream.unit``. See `Stream.unit`."""
        return self._deferred("unit")

    @property
    def features(self) -> Deferred[dict[str, str]]:
        """Kinds of the features, by name: ``await stream.features``. See `Stream.features`."""
        return self._deferred("features")

    @property
    def models(self) -> Deferred[list[str]]:
        """Names of the models that learn from the stream: ``await stream.models``."""
        return self._deferred("models")

    post = as_coroutine(Stream.post, lasting=True)

    async def observations(self, after: int = 0, limit: int | None = None) -> AsyncIterator[dict[str, Any]]:
        """Yields the observations of the log, for ``async for``. See `Stream.observations`."""
        async for page in Steps(self._workers, partial(pages, self._plain._session, self.name, after, limit)):
            for one in page:
                yield one

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AsyncStream) and other._plain == self._plain

    def __hash__(self) -> int:
        return hash(self.name)

    def __reduce__(self) -> tuple[Any, ...]:
        return AsyncStream, (self._session, self.name)

    def __repr__(self) -> str:
        return f"<stream {self.name} at {self._session.server.url}, asynchronous: await .info() …>"
