"""The arithmetic that a database's models are folded with. Processes with another arithmetic refuse to fold."""

from tailrace.estimators import arithmetic

from server.core.errors import Conflict
from server.learning.fold.snapshots import VERSIONS
from server.learning.models import Arithmetic, Model

_ROW = 1
_MOVING = "being moved"
"""Value of the row while ``manage.py refold`` runs."""


def problem() -> str | None:
    """Return why this process may not fold the models of this database; None if it may. An empty database records it."""
    ours = arithmetic.architecture()
    row = Arithmetic.objects.filter(pk=_ROW).first()
    if row is None:
        row, _ = Arithmetic.objects.get_or_create(pk=_ROW, defaults={"architecture": ours, "versions": VERSIONS})
    if row.architecture == ours or not Model.objects.exists():
        return None
    if row.architecture == _MOVING:
        return "a `manage.py refold` of this database was interrupted: run it again, and start the servers after that"
    return (
        f"the models of this database are folded on {row.architecture}, and this machine is {ours}: the last bits of results "
        f"would differ. Serve on {row.architecture}, or move the database here: stop all its servers and run `manage.py refold`"
    )


def require() -> None:
    """Check that this process may fold the models of this database.

    Raises
    ------
    Conflict
        If it may not. The message says what to do.
    """
    if (reason := problem()) is not None:
        raise Conflict(reason, code="other_architecture")


def begin_move() -> None:
    """Keep all servers from starting until :func:`settle`, while the models are folded again one after the other."""
    Arithmetic.objects.update_or_create(pk=_ROW, defaults={"architecture": _MOVING, "versions": VERSIONS})


def settle() -> None:
    """Record that all models are folded with this process's arithmetic."""
    Arithmetic.objects.update_or_create(
        pk=_ROW, defaults={"architecture": arithmetic.architecture(), "versions": VERSIONS}
    )
