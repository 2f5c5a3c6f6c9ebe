"""Times of tracking: whole milliseconds since 1970 (UTC)."""

import time

EARLIEST, LATEST = -(2**62), 2**62
"""Times and steps that are accepted. Databases store twice as many; readers of JSON round beyond these."""


def now_ms() -> int:
    """Return the time now, ms."""
    return time.time_ns() // 1_000_000
