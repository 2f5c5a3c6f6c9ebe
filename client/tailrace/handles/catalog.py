"""`Catalog`: a server's streams, models or recipes by name, with completion and suggestions for wrong names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, TypeVar

from tailrace.display.tables import Table
from tailrace.errors import TailraceError
from tailrace.similar_names import UnknownName, did_you_mean, join_names

__all__ = ["Catalog"]

Item = TypeVar("Item")

COMPLETION_DEADLINE = 0.7
"""Seconds to wait for names when the user presses Tab."""


class Catalog(Mapping[str, Item], Generic[Item]):
    """A mapping of names to a server's streams, models or recipes.

    It asks the server at each use and stores nothing. ``c.models["runtime"]`` and ``c.models.runtime`` mean the same.

    Parameters
    ----------
    kind
        Singular name of the items, such as ``model``.
    fetch
        Requests the list. Its argument is a deadline in seconds; None means the client's deadline.
    make
        Makes an item from its entry in the list.
    table
        Makes a table of some entries of the list.
    """

    def __init__(
        self,
        kind: str,
        fetch: Callable[[float | None], list[Mapping[str, Any]]],
        make: Callable[[Mapping[str, Any]], Item],
        table: Callable[[list[Mapping[str, Any]]], Table],
    ) -> None:
        self._kind = kind
        self._fetch = fetch
        self._make = make
        self.table = table

    def __getitem__(self, name: str) -> Item:
        every = self._fetch(None)
        for one in every:
            if one["name"] == name:
                return self._make(one)
        raise UnknownName(self._missing(name, [one["name"] for one in every]))

    def __iter__(self) -> Iterator[str]:
        return iter([one["name"] for one in self._fetch(None)])

    def __len__(self) -> int:
        return len(self._fetch(None))

    def __getattr__(self, name: str) -> Item:
        if name.startswith("_"):
            raise AttributeError(name)
        every = self._fetch(None)
        for one in every:
            if one["name"] == name:
                return self._make(one)
        raise AttributeError(self._missing(name, [one["name"] for one in every]))

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *(name for name in self._ipython_key_completions_() if name.isidentifier())]

    def _ipython_key_completions_(self) -> list[str]:
        # A shell calls this while the user types. If the server does not answer soon, offer nothing.
        try:
            return [one["name"] for one in self._fetch(COMPLETION_DEADLINE)]
        except (TailraceError, KeyError, TypeError):
            return []

    @property
    def data(self) -> list[Mapping[str, Any]]:
        """The list as the server sends it."""
        return self._fetch(None)

    def _missing(self, name: str, known: list[str]) -> str:
        return f"no {self._kind} named {name!r}{did_you_mean(name, known)}: there are {join_names(known)}"

    def __repr__(self) -> str:
        return self.table(self._fetch(None)).text()

    def _repr_html_(self) -> str:
        return self.table(self._fetch(None)).html()
