"""Background work of calculations: clusters that fall silent, loads that are too old, files that nobody needs."""

import time

from server.calculations import cleaning, clusters, messages, sessions

EVERY, FORGET = 5.0, 3600.0
"""Seconds between two looks at the clusters, and between two deletions of what is old."""


class _Last:
    """When it was last done, in this process."""

    looked = 0.0
    forgot = 0.0


def watch_if_due() -> None:
    """Find silent clusters every few seconds, and delete what is old every hour. Several processes may do it at once."""
    now = time.monotonic()
    if now - _Last.looked > EVERY:
        _Last.looked = now
        sessions.watch_contact()
    if now - _Last.forgot > FORGET:
        _Last.forgot = now
        clusters.forget_old_loads()
        messages.forget_old()
        cleaning.clean_at_night()
