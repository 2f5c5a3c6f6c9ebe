"""Links of runs to models, streams, calculations and cells of this server. What is linked need not exist (any more)."""

from typing import Any

from server.core.errors import Invalid
from server.core.validation import check_text, format_value
from server.tracking import checks, writing
from server.tracking.models import RunLink
from server.tracking.writing import LockedRun


def add(run: LockedRun, kind: Any, name: Any, at: Any = None) -> None:
    """Link a run. Repeated, nothing changes.

    Parameters
    ----------
    kind
        One of ``model``, ``stream``, ``calculation`` and ``cell``.
    at
        Observation as of which it was used; None: not of one.

    Raises
    ------
    Invalid
        If a value is not valid.
    """
    if kind not in RunLink.KINDS:
        raise Invalid(f"to is {format_value(kind)}: expected one of {', '.join(RunLink.KINDS)}", field="to")
    name = str(name) if type(name) is int else name
    if not check_text(name, "name", 200):
        raise Invalid("name is empty: expected the name or number of what is linked", field="name")
    at = None if at is None else checks.whole(at, "at")
    if not RunLink.objects.filter(run_id=run.pk, kind=kind, name=name, at=at).exists():
        RunLink.objects.create(run_id=run.pk, kind=kind, name=name, at=at)


def link(uid: Any, kind: Any, name: Any, at: Any = None) -> None:
    """Link a run, in a transaction of its own. Raises as :func:`add`, and as :func:`server.tracking.writing.locked`."""
    with writing.locked(uid) as run:
        add(run, kind, name, at)
