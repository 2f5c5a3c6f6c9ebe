"""Changes to what the server keeps, told to whoever records them (:mod:`server.accounts.audit`).

The log's own observations are not told: the log is their record.
"""

from typing import Any

from django.dispatch import Signal

changed = Signal()
"""Sent with ``action``, ``target``, ``before`` and ``after``, inside the transaction of the change."""


def tell(action: str, target: str, before: Any = None, after: Any = None) -> None:
    """Tell of a change, inside its transaction: if it can't be recorded, it doesn't happen.

    Parameters
    ----------
    action
        What kind of thing and what was done to it, such as ``model.create``.
    target
        What it was done to, by its name or number.
    before, after
        What JSON can hold of it; None where there was or is nothing.
    """
    changed.send(sender=None, action=action, target=target, before=before, after=after)
