"""How often open pages may ask for news: the more of them are open, the longer each waits.

A page says in a header how long it waited before it asked. From this, a process knows how many charts and parts are open on it,
and answers how long to wait before the next time, so that all of them together ask :data:`MOST_PER_SECOND` times a second.
"""

import threading
import time
from collections import deque

HEADER = "X-Tailrace-Wait"
"""Seconds that the page waited (in a request), and that it should wait before it asks again (in the answer)."""

MOST_PER_SECOND = 2.0
"""Questions a second that one process answers at most, in the mean. Each takes about 5 ms."""

LEAST, MOST = 2.0, 60.0
WINDOW = 20.0
"""Seconds over which questions are counted."""


class Pace:
    """Counts the questions to one process."""

    def __init__(self) -> None:
        self._asked: deque[tuple[float, float]] = deque()
        self._waits = 0.0
        self._lock = threading.Lock()

    def next_wait(self, waited: str, now: float | None = None) -> float:
        """Return the seconds to wait before the next question, after one that came ``waited`` seconds after the one before."""
        try:
            seconds = min(MOST, max(LEAST, float(waited)))  # LEAST for "nan"
        except ValueError:
            seconds = LEAST
        now = time.monotonic() if now is None else now
        with self._lock:
            self._asked.append((now, seconds))
            self._waits += seconds
            while self._asked[0][0] < now - WINDOW:
                self._waits -= self._asked.popleft()[1]
            # What asks every w seconds is seen once in w seconds.
            follow = self._waits / max(LEAST, now - self._asked[0][0])
        return round(min(max(follow / MOST_PER_SECOND, LEAST), MOST), 1)


PACE = Pace()
"""That of this process."""
