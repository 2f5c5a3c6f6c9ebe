"""What reading one upload may use, and how it is told that something is not admitted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from server.learning.pickle_allowlist import Only
from server.streams.errors import Invalid


class Context:
    """What one load may use.

    Parameters
    ----------
    allowance
        Bytes that calls may allocate in all.
    trusted_modules
        See `pickle_allowlist.find`.
    """

    def __init__(self, allowance: int, trusted_modules: Sequence[str] = ()) -> None:
        self.allowance = allowance
        self.trusted_modules = tuple(trusted_modules)
        self._chains: list[Any] = []

    def charge(self, size: int, what: str) -> None:
        """Count bytes about to be allocated; raise `Invalid` when the upload makes far more than it holds."""
        self.allowance -= size
        if self.allowance < 0:
            raise Invalid(f"the upload makes far more data than it holds, with calls of {what}.")

    def chained(self, container: Any) -> Any:
        """Remember a container of a kind that Python frees by recursion, however deep it nests in its own kind."""
        self._chains.append(container)
        return container

    def scrap(self) -> None:
        """Take apart what a refused upload made, so that freeing a deep chain doesn't end the process."""
        for container in self._chains:
            container.clear()
        self._chains.clear()


def check(condition: bool, name: str, why: str) -> None:
    """Raise `Invalid`, naming the callable, unless the condition holds."""
    if not condition:
        raise Invalid(f"the upload uses {name} in a way that is not admitted: {why}.")


def integers(values: Sequence[Any], low: int, high: int) -> bool:
    return all(type(value) is int and low <= value <= high for value in values)


def shown(value: Any) -> str:
    if isinstance(value, Only):
        return value.name
    named = value if hasattr(value, "__qualname__") else type(value)
    return f"{getattr(named, '__module__', '?')}.{named.__qualname__}"[:200]
