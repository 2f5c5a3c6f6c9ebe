"""Names that were mistyped, and what was probably meant."""

from __future__ import annotations

from collections.abc import Iterable

from tailrace.errors import TailraceError

__all__ = ["UnknownName", "did_you_mean", "listed"]


class UnknownName(TailraceError, KeyError):
    """There is nothing of that name; the message says what there is."""

    def __str__(self) -> str:
        return str(self.args[0])


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The hint for a name that isn't there: `` (did you mean 'runtime'?)``, or nothing where none is close.

    Parameters
    ----------
    name
        What was asked for.
    known
        What there is.
    """
    from difflib import get_close_matches

    candidates = list(known)
    folded = {one.casefold(): one for one in reversed(candidates)}
    close = get_close_matches(name[:200].casefold(), folded, n=1)
    if not close and len(name) >= 2:
        # What was left unfinished: 'run' for 'lammps-runtime'.
        close = [one for one in folded if name.casefold() in one][:1]
    return f" (did you mean {folded[close[0]]!r}?)" if close else ""


def listed(names: Iterable[str], most: int = 10) -> str:
    """Some names as a sentence has them: ``a, b, c and 7 more``; ``none`` where there are none."""
    names = list(names)
    if not names:
        return "none"
    if len(names) <= most:
        return ", ".join(names)
    return f"{', '.join(names[:most])} and {len(names) - most} more"
