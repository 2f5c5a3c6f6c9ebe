"""`AsyncTrackedExperiment`, `AsyncRunFeed` and `AsyncTrackedRun`: the calls of their plain twins as coroutines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tailrace.asynchronous.delegation import AsyncDelegate, Deferred, as_coroutine, as_coroutine_returning
from tailrace.handles.run_feed import RunFeed
from tailrace.handles.tracked_experiment import TrackedExperiment
from tailrace.handles.tracked_run import TrackedRun

if TYPE_CHECKING:
    from tailrace.asynchronous.session import AsyncSession

__all__ = ["AsyncRunFeed", "AsyncTrackedExperiment", "AsyncTrackedRun"]


def _same_experiment(handle: AsyncTrackedExperiment, plain: TrackedExperiment) -> AsyncTrackedExperiment:
    return handle


def _same_run(handle: AsyncTrackedRun, plain: TrackedRun) -> AsyncTrackedRun:
    return handle


def _feed(handle: AsyncTrackedExperiment, plain: RunFeed) -> AsyncRunFeed:
    return handle.feed(plain.stream)


class AsyncRunFeed(AsyncDelegate):
    """A handle on one feed of an experiment: a `RunFeed` whose methods are awaited. `AsyncTrackedExperiment.feed` returns it.

    Attributes
    ----------
    experiment, stream
        Names of the experiment and of the stream.
    """

    def __init__(self, session: AsyncSession, experiment: str, stream: str) -> None:
        super().__init__(RunFeed(session._plain, experiment, stream), session._workers)
        self._session = session
        self.experiment, self.stream = experiment, stream

    info = as_coroutine(RunFeed.info)
    runs = as_coroutine(RunFeed.runs)
    backfill = as_coroutine(RunFeed.backfill)
    delete = as_coroutine(RunFeed.delete)

    def __reduce__(self) -> tuple[Any, ...]:
        return AsyncRunFeed, (self._session, self.experiment, self.stream)

    def __repr__(self) -> str:
        return f"<feed of {self.experiment} to {self.stream}, asynchronous: await .info() …>"


class AsyncTrackedExperiment(AsyncDelegate):
    """A handle on one experiment: a `TrackedExperiment` whose methods are awaited. `AsyncClient.experiment` returns it.

    Attributes
    ----------
    name
        Name of the experiment.
    """

    def __init__(self, session: AsyncSession, name: str) -> None:
        super().__init__(TrackedExperiment(session._plain, name), session._workers)
        self._session = session
        self.name = name

    info = as_coroutine(TrackedExperiment.info)
    runs = as_coroutine(TrackedExperiment.runs)
    feeds = as_coroutine(TrackedExperiment.feeds)
    create_feed = as_coroutine_returning(TrackedExperiment.create_feed, _feed, "AsyncRunFeed")
    predict = as_coroutine(TrackedExperiment.predict)
    delete = as_coroutine(TrackedExperiment.delete)
    restore = as_coroutine_returning(TrackedExperiment.restore, _same_experiment, "AsyncTrackedExperiment")

    def feed(self, stream: str) -> AsyncRunFeed:
        """Returns a handle on the feed to `stream`. See `TrackedExperiment.feed`."""
        return AsyncRunFeed(self._session, self.name, stream)

    def __reduce__(self) -> tuple[Any, ...]:
        return AsyncTrackedExperiment, (self._session, self.name)

    def __repr__(self) -> str:
        return f"<experiment {self.name} at {self._session.server.url}, asynchronous: await .info() …>"


class AsyncTrackedRun(AsyncDelegate):
    """A handle on one run: a `TrackedRun` whose methods are awaited. `AsyncClient.run` returns it.

    Attributes
    ----------
    uid
        Identifier of the run.
    """

    def __init__(self, session: AsyncSession, uid: str) -> None:
        super().__init__(TrackedRun(session._plain, uid), session._workers)
        self._session = session
        self.uid = uid

    info = as_coroutine(TrackedRun.info)
    history = as_coroutine(TrackedRun.history)
    artifacts = as_coroutine(TrackedRun.artifacts)
    download = as_coroutine(TrackedRun.download)
    link = as_coroutine(TrackedRun.link)
    tag = as_coroutine(TrackedRun.tag)
    delete = as_coroutine(TrackedRun.delete)
    restore = as_coroutine_returning(TrackedRun.restore, _same_run, "AsyncTrackedRun")

    @property
    def status(self) -> Deferred[str]:
        """The status now: ``await run.status``. See `TrackedRun.status`."""
        return self._deferred("status")

    def __reduce__(self) -> tuple[Any, ...]:
        return AsyncTrackedRun, (self._session, self.uid)

    def __repr__(self) -> str:
        return f"<run {self.uid} at {self._session.server.url}, asynchronous: await .info() …>"
