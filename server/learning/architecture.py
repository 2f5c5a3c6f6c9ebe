"""Which arithmetic a database's models are folded with: its processes have the same one, or don't fold."""

from tailrace import arithmetic

from server.learning.models import Arithmetic, Model
from server.learning.snapshots import VERSIONS
from server.streams.errors import Conflict

_ROW = 1
_MOVING = "being moved"
"""Stands in the row while some models are folded with another arithmetic than the rest."""


def problem() -> str | None:
    """Why this process may not fold the models of this database; None where it may, which is noted in an empty one."""
    ours = arithmetic.architecture()
    row = Arithmetic.objects.filter(pk=_ROW).first()
    if row is None:
        row, _ = Arithmetic.objects.get_or_create(pk=_ROW, defaults={"architecture": ours, "versions": VERSIONS})
    if row.architecture == ours or not Model.objects.exists():
        return None
    if row.architecture == _MOVING:
        return "a `manage.py refold` of this database was interrupted: run it again, and start the servers after that"
    return (
        f"the models of this database are folded on {row.architecture}, and this machine is {ours}: their last bits would differ. "
        f"Serve on {row.architecture}, or move the database here: stop all its servers and run `manage.py refold`"
    )


def require() -> None:
    """Refuse to fold where that would come to other bits.

    Raises
    ------
    Conflict
        Saying what to do.
    """
    if (reason := problem()) is not None:
        raise Conflict(reason, code="other_architecture")


def begin_move() -> None:
    """Keep all servers off until :func:`settle`: the models are folded anew one after the other."""
    Arithmetic.objects.update_or_create(pk=_ROW, defaults={"architecture": _MOVING, "versions": VERSIONS})


def settle() -> None:
    """Note that all models are folded with this process's arithmetic now."""
    Arithmetic.objects.update_or_create(
        pk=_ROW, defaults={"architecture": arithmetic.architecture(), "versions": VERSIONS}
    )
