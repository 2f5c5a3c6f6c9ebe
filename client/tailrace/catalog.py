"""What a server has, by name: completed by a shell, shown as a table, with a hint where a name is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, TypeVar

from tailrace.errors import TailraceError
from tailrace.names import UnknownName, did_you_mean, listed
from tailrace.tables import Table

__all__ = ["Catalog"]

Thing = TypeVar("Thing")

PATIENCE = 0.7
"""Seconds that somebody who presses Tab waits for names, at most."""


class Catalog(Mapping[str, Thing], Generic[Thing]):
    """A mapping of names to things, asked anew of the server at each use.

    ``c.models["runtime"]`` and ``c.models.runtime`` are the same; what is in it is the server's at that moment.

    Parameters
    ----------
    kind
        What the things are, in the singular.
    fetch
        Asks for the list, within so many seconds; None: the client's deadline.
    make
        Makes the thing from its place in the list.
    table
        Shows the list, or some of it.
    """

    def __init__(
        self,
        kind: str,
        fetch: Callable[[float | None], list[Mapping[str, Any]]],
        make: Callable[[Mapping[str, Any]], Thing],
        table: Callable[[list[Mapping[str, Any]]], Table],
    ) -> None:
        self._kind = kind
        self._fetch = fetch
        self._make = make
        self.table = table

    def __getitem__(self, name: str) -> Thing:
        every = self._fetch(None)
        for one in every:
            if one["name"] == name:
                return self._make(one)
        raise UnknownName(self._missing(name, [one["name"] for one in every]))

    def __iter__(self) -> Iterator[str]:
        return iter([one["name"] for one in self._fetch(None)])

    def __len__(self) -> int:
        return len(self._fetch(None))

    def __getattr__(self, name: str) -> Thing:
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
        # A shell asks this while one types: where the server doesn't answer, nothing is offered, and soon.
        try:
            return [one["name"] for one in self._fetch(PATIENCE)]
        except (TailraceError, KeyError, TypeError):
            return []

    @property
    def data(self) -> list[Mapping[str, Any]]:
        """The server's list."""
        return self._fetch(None)

    def _missing(self, name: str, known: list[str]) -> str:
        return f"no {self._kind} named {name!r}{did_you_mean(name, known)}: there are {listed(known)}"

    def __repr__(self) -> str:
        return self.table(self._fetch(None)).text()

    def _repr_html_(self) -> str:
        return self.table(self._fetch(None)).html()
