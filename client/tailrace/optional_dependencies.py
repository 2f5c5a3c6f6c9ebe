"""`require`: imports optional libraries when they are needed."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from tailrace.errors import TailraceError

__all__ = ["EXTRAS", "MissingExtra", "require"]

EXTRAS = {"river": "river", "pandas": "pandas", "matplotlib": "plot", "wandb": "wandb"}
"""The extra of this distribution that installs each library."""


class MissingExtra(TailraceError, ImportError):
    """This call needs a library that is not installed. Install the extra that the message names."""


def require(library: str, *modules: str) -> Any:
    """Import modules of an optional library.

    Parameters
    ----------
    library
        One of `EXTRAS`.
    modules
        Modules to import. None given: the library itself.

    Returns
    -------
    The module, or a tuple of modules if there are several.

    Raises
    ------
    MissingExtra
        If the library is not installed. The message contains the command that installs it.
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
