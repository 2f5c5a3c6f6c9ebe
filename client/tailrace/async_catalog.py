"""What a server has, by name, for an `AsyncClient`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Mapping
from typing import Any, Generic, TypeVar

from tailrace.awaited import Asked
from tailrace.catalog import Catalog
from tailrace.results import Listing
from tailrace.workers import Call, Workers

__all__ = ["AsyncCatalog"]

Thing = TypeVar("Thing")


class AsyncCatalog(Generic[Thing]):
    """Names and things, asked anew of the server at each use; a `Catalog` that is awaited.

    ``await c.models`` is the server's list, which shows itself as a table, ``await c.models["runtime"]`` one of them, and
    ``async for name in c.models`` goes through the names.

    Parameters
    ----------
    plain
        The plain client's.
    make
        Makes the thing from its name and from the plain client's thing.
    """

    def __init__(self, plain: Catalog[Any], workers: Workers, make: Callable[[str, Any], Thing]) -> None:
        self._plain = plain
        self._workers = workers
        self._make = make

    def __await__(self) -> Generator[Any, Any, Listing]:
        return self._listing().__await__()

    async def __aiter__(self) -> AsyncIterator[str]:
        for name in await self.keys():
            yield name

    def __getitem__(self, name: str) -> Awaitable[Thing]:
        async def look() -> Thing:
            return self._make(name, await self._do(lambda: self._plain[name]))

        return Asked(look, f"{name!r} of {self!r}")

    # Python would try numbers, one after the other.
    __iter__ = None
    __contains__ = None

    async def get(self, name: str, default: Any = None) -> Any:
        """The thing of that name, or `default` where there is none."""
        plain = await self._do(lambda: self._plain.get(name))
        return default if plain is None else self._make(name, plain)

    async def keys(self) -> list[str]:
        """The names."""
        return [one["name"] for one in await self.data]

    async def values(self) -> list[Thing]:
        """The things."""
        return [thing for _, thing in await self.items()]

    async def items(self) -> list[tuple[str, Thing]]:
        """Names with their things."""
        return await self._do(
            lambda: [(one["name"], self._make(one["name"], self._plain._make(one))) for one in self._plain.data]
        )

    @property
    def data(self) -> Asked[list[Mapping[str, Any]]]:
        """The server's list: ``await c.models.data``."""

        async def look() -> list[Mapping[str, Any]]:
            return await self._do(lambda: self._plain.data)

        return Asked(look, f"data of {self!r}")

    async def _listing(self) -> Listing:
        data = await self.data
        return Listing(data, self._plain.table(data))

    async def _do(self, work: Callable[[], Any]) -> Any:
        return await self._workers.do(work, Call())

    def _ipython_key_completions_(self) -> list[str]:
        return self._plain._ipython_key_completions_()

    def __repr__(self) -> str:
        return f"<{self._plain._kind}s, asynchronous: await it, or await ….keys(), or await …[name]>"
