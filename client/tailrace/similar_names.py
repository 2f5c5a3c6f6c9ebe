"""Suggestions for mistyped names."""

from __future__ import annotations

from collections.abc import Iterable

from tailrace.errors import TailraceError

__all__ = ["UnknownName", "did_you_mean", "join_names"]


class UnknownName(TailraceError, KeyError):
    """There is nothing with this name. The message lists the existing names."""

    def __str__(self) -> str:
        return str(self.args[0])


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Returns a hint for an unknown name, such as `` (did you mean 'runtime'?)``. Empty if no known name is similar.

    Parameters
    ----------
    name
        The unknown name.
    known
        The existing names.
    """
    from difflib import get_close_matches

    candidates = list(known)
    folded = {one.casefold(): one for one in reversed(candidates)}
    close = get_close_matches(name[:200].casefold(), folded, n=1)
    if not close and len(name) >= 2:
        # A part of a name, such as 'run' for 'lammps-runtime'.
        close = [one for one in folded if name.casefold() in one][:1]
    return f" (did you mean {folded[close[0]]!r}?)" if close else ""


def join_names(names: Iterable[str], most: int = 10) -> str:
    """Returns names as text for a sentence, such as ``a, b, c and 7 more``; ``none`` if there are none."""
    names = list(names)
    if not names:
        return "none"
    if len(names) <= most:
        return ", ".join(names)
    return f"{', '.join(names[:most])} and {len(names) - most} more"
