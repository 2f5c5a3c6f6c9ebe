"""`AsyncCatalog`: a server's streams, models or recipes by name, for an `AsyncClient`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Mapping
from typing import Any, Generic, TypeVar

from tailrace.asynchronous.delegation import Deferred
from tailrace.asynchronous.worker_threads import Call, Workers
from tailrace.handles.catalog import Catalog
from tailrace.results.facts import Listing

__all__ = ["AsyncCatalog"]

Item = TypeVar("Item")


class AsyncCatalog(Generic[Item]):
    """A `Catalog` whose requests are awaited.

    ``await c.models`` returns the server's list and shows as a table. ``await c.models["runtime"]`` returns one item,
    and ``async for name in c.models`` iterates over the names.

    Parameters
    ----------
    plain
        Catalog of the synchronous client.
    workers
        Threads that send the requests.
    make
        Makes an item from its name and from the synchronous client's item.
    """

    def __init__(self, plain: Catalog[Any], workers: Workers, make: Callable[[str, Any], Item]) -> None:
        self._plain = plain
        self._workers = workers
        self._make = make

    def __await__(self) -> Generator[Any, Any, Listing]:
        return self._listing().__await__()

    async def __aiter__(self) -> AsyncIterator[str]:
        for name in await self.keys():
            yield name

    def __getitem__(self, name: str) -> Awaitable[Item]:
        async def look() -> Item:
            return self._make(name, await self._do(lambda: self._plain[name]))

        return Deferred(look, f"{name!r} of {self!r}")

    # Without these, Python would call __getitem__ with 0, 1, 2 …
    __iter__ = None
    __contains__ = None

    async def get(self, name: str, default: Any = None) -> Any:
        """Returns the item of this name, or `default` if there is none."""
        plain = await self._do(lambda: self._plain.get(name))
        return default if plain is None else self._make(name, plain)

    async def keys(self) -> list[str]:
        """Returns the names."""
        return [one["name"] for one in await self.data]

    async def values(self) -> list[Item]:
        """Returns the items."""
        return [item for _, item in await self.items()]

    async def items(self) -> list[tuple[str, Item]]:
        """Returns pairs of name and item."""
        return await self._do(
            lambda: [(one["name"], self._make(one["name"], self._plain._make(one))) for one in self._plain.data]
        )

    @property
    def data(self) -> Deferred[list[Mapping[str, Any]]]:
        """The list as the server sends it: ``await c.models.data``."""

        async def look() -> list[Mapping[str, Any]]:
            return await self._do(lambda: self._plain.data)

        return Deferred(look, f"data of {self!r}")

    async def _listing(self) -> Listing:
        data = await self.data
        return Listing(data, self._plain.table(data))

    async def _do(self, work: Callable[[], Any]) -> Any:
        return await self._workers.do(work, Call())

    def _ipython_key_completions_(self) -> list[str]:
        return self._plain._ipython_key_completions_()

    def __repr__(self) -> str:
        return f"<{self._plain._kind}s, asynchronous: await it, or await ….keys(), or await …[name]>"
