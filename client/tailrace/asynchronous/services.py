"""`AsyncService`: the calls of `Service` as coroutines."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from tailrace.asynchronous.delegation import AsyncDelegate, Deferred, as_coroutine, as_coroutine_returning
from tailrace.asynchronous.worker_threads import Steps
from tailrace.handles.service import Service

if TYPE_CHECKING:
    from tailrace.asynchronous.session import AsyncSession

__all__ = ["AsyncService"]


def _same_handle(handle: AsyncService, plain: Service) -> AsyncService:
    return handle


class AsyncService(AsyncDelegate):
    """A handle on one service: a `Service` whose methods are awaited. `AsyncClient.service` returns it.

    Attributes
    ----------
    name
        Name of the service.
    """

    def __init__(self, session: AsyncSession, name: str) -> None:
        super().__init__(Service(session._plain, name), session._workers)
        self._session = session
        self.name = name

    info = as_coroutine(Service.info)
    run = as_coroutine_returning(Service.run, _same_handle, "AsyncService")
    stop = as_coroutine_returning(Service.stop, _same_handle, "AsyncService")
    restart = as_coroutine_returning(Service.restart, _same_handle, "AsyncService")
    delete = as_coroutine(Service.delete)
    invoke = as_coroutine(Service.invoke)

    @property
    def state(self) -> Deferred[str]:
        """The state now: ``await service.state``. See `Service.state`."""
        return self._deferred("state")

    async def wait(self, timeout: float | None = None) -> AsyncService:
        """Wait until the service is healthy. See `Service.wait`."""
        import asyncio

        pauses = Steps(self._workers, partial(Service._pauses, self._plain, timeout))
        try:
            async for pause in pauses:
                await asyncio.sleep(pause)
        finally:
            pauses.close()
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return AsyncService, (self._session, self.name)

    def __repr__(self) -> str:
        return f"<service {self.name} at {self._session.server.url}, asynchronous: await .info() …>"
