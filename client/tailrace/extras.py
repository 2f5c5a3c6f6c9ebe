"""Libraries that only some calls need, imported where they are used."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from tailrace.errors import TailraceError

__all__ = ["EXTRAS", "MissingExtra", "needs"]

EXTRAS = {"river": "river", "pandas": "pandas", "matplotlib": "plot"}
"""Library to the extra of this distribution that installs it."""


class MissingExtra(TailraceError, ImportError):
    """A library is not installed that this call needs: install the extra that the message names."""


def needs(library: str, *modules: str) -> Any:
    """Import modules of an optional library.

    Parameters
    ----------
    library
        One of `EXTRAS`.
    modules
        What to import of it; the library itself if none is named.

    Returns
    -------
    The module, or a tuple of several.

    Raises
    ------
    MissingExtra
        If it isn't installed, with the line that installs it.
    """
    try:
        import_module(library)
    except ModuleNotFoundError as error:
        if error.name != library:
            raise
        raise MissingExtra(
            f"this needs {library}, which is not installed: pip install 'tailrace[{EXTRAS[library]}]'", name=library
        ) from None
    found = tuple(import_module(name) for name in modules or (library,))
    return found[0] if len(found) == 1 else found
