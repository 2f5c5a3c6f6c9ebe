"""`AsyncCalculation`: the calls of `Calculation` as coroutines."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from tailrace.asynchronous.delegation import AsyncDelegate, Deferred, as_coroutine, as_coroutine_returning
from tailrace.asynchronous.worker_threads import Steps
from tailrace.handles.calculation import Calculation

if TYPE_CHECKING:
    from tailrace.asynchronous.session import AsyncSession

__all__ = ["AsyncCalculation"]


def _same_handle(handle: AsyncCalculation, plain: Calculation) -> AsyncCalculation:
    return handle


class AsyncCalculation(AsyncDelegate):
    """A handle on one calculation: a `Calculation` whose methods are awaited. `AsyncClient.calculate` returns it.

    Attributes
    ----------
    id
        Number of the calculation.
    identical
        Whether the same was calculated before, so that nothing was submitted.
    """

    def __init__(self, session: AsyncSession, number: int, *, identical: bool = False) -> None:
        super().__init__(Calculation(session._plain, number, identical=identical), session._workers)
        self._session = session
        self.id = number
        self.identical = identical

    info = as_coroutine(Calculation.info)
    to_frame = as_coroutine(Calculation.to_frame)
    log = as_coroutine(Calculation.log)
    fetch = as_coroutine(Calculation.fetch)
    fetch_report = as_coroutine(Calculation.fetch_report)
    cancel = as_coroutine_returning(Calculation.cancel, _same_handle, "AsyncCalculation")
    retry = as_coroutine_returning(Calculation.retry, _same_handle, "AsyncCalculation")
    approve = as_coroutine_returning(Calculation.approve, _same_handle, "AsyncCalculation")
    hold = as_coroutine_returning(Calculation.hold, _same_handle, "AsyncCalculation")
    delete = as_coroutine(Calculation.delete)
    release = as_coroutine_returning(Calculation.release, _same_handle, "AsyncCalculation")

    @property
    def state(self) -> Deferred[str]:
        """The state now: ``await calculation.state``."""
        return self._deferred("state")

    @property
    def results(self) -> Deferred[dict[str, Any]]:
        """Values of the valid results: ``await calculation.results``. See `Calculation.results`."""
        return self._deferred("results")

    @property
    def page_url(self) -> str:
        """Address of the calculation's page on the server."""
        return str(self._plain.page_url)

    async def wait(self, timeout: float | None = None) -> AsyncCalculation:
        """Wait until all steps are done. See `Calculation.wait`."""
        import asyncio

        pauses = Steps(self._workers, partial(Calculation._pauses, self._plain, timeout))
        try:
            async for pause in pauses:
                await asyncio.sleep(pause)
        finally:
            pauses.close()
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickled, (self._session, self.id, self.identical)

    def __repr__(self) -> str:
        return f"<calculation {self.id} at {self._session.server.url}, asynchronous: await .info() …>"


def _unpickled(session: AsyncSession, number: int, identical: bool) -> AsyncCalculation:
    return AsyncCalculation(session, number, identical=identical)
