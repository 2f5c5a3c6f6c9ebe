"""Signals of changes, for the audit trail (:mod:`server.accounts.audit`).

Observations send no signal: the log itself records them.
"""

from typing import Any

from django.dispatch import Signal

changed = Signal()
"""Sent with ``action``, ``target``, ``before`` and ``after``, inside the transaction of the change."""


def send(action: str, target: str, before: Any = None, after: Any = None) -> None:
    """Send the signal of a change. Call it inside the transaction of the change: if recording fails, the change fails.

    Parameters
    ----------
    action
        Kind of object and what was done to it, such as ``model.create``.
    target
        Name or number of the object.
    before, after
        The changed values as JSON-compatible data; None if there were or are none.
    """
    changed.send(sender=None, action=action, target=target, before=before, after=after)
