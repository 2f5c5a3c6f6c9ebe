"""`AsyncCampaign`: the calls of `Campaign` as coroutines."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from tailrace.asynchronous.delegation import AsyncDelegate, Deferred, as_coroutine, as_coroutine_returning
from tailrace.asynchronous.worker_threads import Steps
from tailrace.handles.campaign import Campaign

if TYPE_CHECKING:
    from tailrace.asynchronous.session import AsyncSession
    from tailrace.results.facts import Facts

__all__ = ["AsyncCampaign"]


def _same_handle(handle: AsyncCampaign, plain: Campaign) -> AsyncCampaign:
    return handle


class AsyncCampaign(AsyncDelegate):
    """A handle on one campaign: a `Campaign` whose methods are awaited. `AsyncClient.campaign` returns it.

    Attributes
    ----------
    name
        Name of the campaign.
    """

    def __init__(self, session: AsyncSession, name: str) -> None:
        super().__init__(Campaign(session._plain, name), session._workers)
        self._session = session
        self.name = name

    info = as_coroutine(Campaign.info)
    propose = as_coroutine(Campaign.propose)
    # What a person decided is sent to the end, even if the caller is cancelled meanwhile.
    approve = as_coroutine(Campaign.approve, lasting=True)
    reject = as_coroutine(Campaign.reject, lasting=True)
    pause = as_coroutine_returning(Campaign.pause, _same_handle, "AsyncCampaign")
    resume = as_coroutine_returning(Campaign.resume, _same_handle, "AsyncCampaign")
    stop = as_coroutine_returning(Campaign.stop, _same_handle, "AsyncCampaign")
    restart = as_coroutine_returning(Campaign.restart, _same_handle, "AsyncCampaign")
    decisions = as_coroutine(Campaign.decisions)
    decision = as_coroutine(Campaign.decision)
    history = as_coroutine(Campaign.history)
    to_frame = as_coroutine(Campaign.to_frame)
    runs = as_coroutine(Campaign.runs)
    evaluations = as_coroutine(Campaign.evaluations)
    evaluate = as_coroutine(Campaign.evaluate)

    @property
    def state(self) -> Deferred[str]:
        """The state now: ``await campaign.state``. See `Campaign.state`."""
        return self._deferred("state")

    @property
    def proposal(self) -> Deferred[Facts | None]:
        """The decision that waits for a person: ``await campaign.proposal``. See `Campaign.proposal`."""
        return self._deferred("proposal")

    @property
    def page_url(self) -> str:
        """Address of the campaign's page on the server."""
        return str(self._plain.page_url)

    async def wait(self, timeout: float | None = None) -> AsyncCampaign:
        """Wait until the campaign has ended. See `Campaign.wait`."""
        import asyncio

        pauses = Steps(self._workers, partial(Campaign._pauses, self._plain, timeout))
        try:
            async for pause in pauses:
                await asyncio.sleep(pause)
        finally:
            pauses.close()
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return AsyncCampaign, (self._session, self.name)

    def __repr__(self) -> str:
        return f"<campaign {self.name} at {self._session.server.url}, asynchronous: await .info() …>"
