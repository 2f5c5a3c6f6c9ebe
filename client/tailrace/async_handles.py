"""`AsyncModel` and `AsyncStream`: what `Model` and `Stream` do, awaited."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, overload

from tailrace.awaited import Asked, Asking, awaited, awaited_as
from tailrace.model import Model
from tailrace.predicting import LEVEL, Predictor
from tailrace.reading import pages
from tailrace.stream import Stream
from tailrace.workers import Call, Steps

if TYPE_CHECKING:
    from pandas import DataFrame, Series

    from tailrace.async_client import AsyncClient
    from tailrace.results import Prediction, Predictions

__all__ = ["AsyncModel", "AsyncStream"]


def _itself(handle: AsyncModel, plain: Model) -> AsyncModel:
    return handle


class AsyncModel(Asking):
    """A handle on one model: a `Model` whose methods are awaited. It is made by `AsyncClient.model`.

    `stream`, `unit` and `features`, which ask the server, are awaited without a call: ``await model.unit``.

    Attributes
    ----------
    name
        The model's.
    predict
        Ask it: ``await model.predict(x=8, y=16, z=8)``; see `Predictor`.
    at
        The observation as of which it is looked at; None for now.
    """

    def __init__(self, client: AsyncClient, name: str, at: int | None = None) -> None:
        super().__init__(Model(client._plain, name, at), client._workers)
        self._client = client
        self.name = name
        self.at = at
        self.predict = AsyncPredictor(self)

    info = awaited(Model.info)
    metrics = awaited(Model.metrics)
    history = awaited(Model.history)
    stats = awaited(Model.stats)
    download = awaited(Model.download)
    delete = awaited(Model.delete)
    plot = awaited(Model.plot)
    scatter = awaited(Model.scatter)

    @property
    def stream(self) -> Asked[AsyncStream]:
        """The stream that it learns from: ``await model.stream``."""

        async def look() -> AsyncStream:
            return self._client.stream((await self._asked("stream")).name)

        return Asked(look, f"stream of {self!r}")

    @property
    def unit(self) -> Asked[str]:
        """The target's unit, such as ``s``; empty where it has none, or where the token may not read it."""
        return self._asked("unit")

    @property
    def features(self) -> Asked[dict[str, str]]:
        """Feature to kind: what `predict` takes; see `Stream.features`."""
        return self._asked("features")

    def as_of(self, n: int) -> AsyncModel:
        """The model as it was after observation `n`: its `info`, `metrics` and `download` are those of then."""
        return AsyncModel(self._client, self.name, self._plain.as_of(n).at)

    async def wait(self, timeout: float | None = None) -> AsyncModel:
        """Wait until it has learned the stream's history and serves; give up after `timeout` seconds.

        Raises
        ------
        ModelFailed
            If it could not learn it.
        StillLearning
            If it still learns: a TimeoutError, too.
        """
        import asyncio

        pauses = Steps(self._workers, partial(Model._pauses, self._plain, timeout))
        try:
            async for pause in pauses:
                await asyncio.sleep(pause)
        finally:
            pauses.close()
        return self

    release = awaited_as(Model.release, _itself, "AsyncModel")

    def __reduce__(self) -> tuple[Any, ...]:
        return AsyncModel, (self._client, self.name, self.at)

    def __repr__(self) -> str:
        as_of = "" if self.at is None else f" as of observation {self.at}"
        return f"<model {self.name}{as_of} at {self._client.server.url}, asynchronous: await .info() …>"


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


class AsyncStream(Asking):
    """A handle on one stream: a `Stream` whose methods are awaited. It is made by `AsyncClient.stream`.

    `head`, `unit`, `features` and `models`, which ask the server, are awaited without a call: ``await stream.head``.

    Attributes
    ----------
    name
        The stream's.
    """

    def __init__(self, client: AsyncClient, name: str) -> None:
        super().__init__(Stream(client._plain, name), client._workers)
        self._client = client
        self.name = name

    info = awaited(Stream.info)
    tail = awaited(Stream.tail)
    export = awaited(Stream.export)
    to_frame = awaited(Stream.to_frame)
    retract = awaited(Stream.retract)
    expect = awaited(Stream.expect)
    delete = awaited(Stream.delete)
    plot = awaited(Stream.plot)

    @property
    def head(self) -> Asked[int]:
        """The number of the last observation, asked anew each time."""
        return self._asked("head")

    @property
    def unit(self) -> Asked[str]:
        """The target's unit, such as ``s``; empty where it has none."""
        return self._asked("unit")

    @property
    def features(self) -> Asked[dict[str, str]]:
        """Feature to kind (number, boolean, category): the declared ones, else those of the latest observations."""
        return self._asked("features")

    @property
    def models(self) -> Asked[list[str]]:
        """The names of the models that learn from it."""
        return self._asked("models")

    async def post(self, x: Mapping[str, Any], y: Any, **options: Any) -> Any:
        """Post one labeled point: see `Client.post`."""
        return await self._client.post(self.name, x, y, **options)

    async def observations(self, after: int = 0, limit: int | None = None) -> AsyncIterator[dict[str, Any]]:
        """The log, in order, a page at a time, with what each model predicted before it learned: ``async for``.

        Parameters
        ----------
        after
            Only observations with a greater number.
        limit
            At most so many.
        """
        async for page in Steps(self._workers, partial(pages, self._plain._client, self.name, after, limit)):
            for one in page:
                yield one

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AsyncStream) and other._plain == self._plain

    def __hash__(self) -> int:
        return hash(self.name)

    def __reduce__(self) -> tuple[Any, ...]:
        return AsyncStream, (self._client, self.name)

    def __repr__(self) -> str:
        return f"<stream {self.name} at {self._client.server.url}, asynchronous: await .info() …>"
