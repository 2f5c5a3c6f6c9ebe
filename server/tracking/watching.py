"""Background work of tracking: summaries of quiet runs, and the removal of what was deleted long ago."""

import time

from server.tracking import retention, summaries

EVERY, FORGET = 20.0, 3600.0
"""Seconds between two looks at runs that have become quiet, and between two removals."""


class _Last:
    """When it was last done, in this process."""

    summarized = 0.0
    removed = 0.0


def watch_if_due() -> None:
    """Make summaries of quiet runs, and every hour remove what was deleted long ago. Several processes may do it at once."""
    now = time.monotonic()
    if now - _Last.summarized > EVERY:
        _Last.summarized = now
        summaries.refresh_quiet()
    if now - _Last.removed > FORGET:
        _Last.removed = now
        retention.remove_due()
