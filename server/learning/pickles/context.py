"""The context of reading one upload: its memory allowance and trusted modules, and helper functions for checks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from server.core.errors import Invalid
from server.learning.pickles.allowlist import Only


class Context:
    """The limits for reading one upload.

    Parameters
    ----------
    allowance
        Bytes that all calls together may allocate.
    trusted_modules
        See :func:`server.learning.pickles.allowlist.find`.
    """

    def __init__(self, allowance: int, trusted_modules: Sequence[str] = ()) -> None:
        self.allowance = allowance
        self.trusted_modules = tuple(trusted_modules)
        self._chains: list[Any] = []

    def charge(self, size: int, what: str) -> None:
        """Count bytes before they are allocated. Raise `Invalid` if the upload allocates far more than its size."""
        self.allowance -= size
        if self.allowance < 0:
            raise Invalid(f"the upload would allocate far more memory than its size, with calls of {what}.")

    def chained(self, container: Any) -> Any:
        """Remember a container of a type that Python frees recursively without a depth limit. Return the container."""
        self._chains.append(container)
        return container

    def scrap(self) -> None:
        """Clear the containers of a refused upload, since freeing a deep chain of them would crash the process."""
        for container in self._chains:
            container.clear()
        self._chains.clear()


def check(condition: bool, name: str, why: str) -> None:
    """Raise `Invalid`, naming the callable, unless the condition holds."""
    if not condition:
        raise Invalid(f"the upload uses {name} in a way that is not admitted: {why}.")


def integers(values: Sequence[Any], low: int, high: int) -> bool:
    return all(type(value) is int and low <= value <= high for value in values)


def full_name(value: Any) -> str:
    if isinstance(value, Only):
        return value.name
    named = value if hasattr(value, "__qualname__") else type(value)
    return f"{getattr(named, '__module__', '?')}.{named.__qualname__}"[:200]
