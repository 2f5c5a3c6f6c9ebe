"""Whether this server can do its work now: what the database says, asked by one thread at a time and waited for so long."""

import logging
import threading
import time
from collections.abc import Callable

from server import database_state
from server.database_state import NEWER_SCHEMA, NO_DATABASE, READY, State

logger = logging.getLogger(__name__)

PATIENCE = 2.0
"""Seconds that a probe waits for the database's answer."""

FRESH = 1.0
"""Seconds for which an answer is as good as new: however many ask, the database is asked once."""

GOES_ON = (READY, NEWER_SCHEMA)
"""With these a server goes on. Newer tables are those of an upgrade that is under way: each release's tables work for the
release before it, and if all old servers left at once nobody would answer."""


class Examiner:
    """Asks the database in a thread of its own, which alone is stuck where the database doesn't answer.

    Parameters
    ----------
    look
        Asks the database, however long that takes; gives the state and what is for the log alone.
    """

    def __init__(self, look: Callable[[], tuple[State, str]] = database_state.examine) -> None:
        self._look = look
        self._changed = threading.Condition()
        self._wanted = False
        self._thread: threading.Thread | None = None
        self._state = State(NO_DATABASE, "the database wasn't asked yet")
        self._at = float("-inf")
        self._asked_at = 0.0

    def state(self, patience: float = PATIENCE) -> State:
        """What the database said less than :data:`FRESH` ago, or says within ``patience`` seconds."""
        with self._changed:
            asked = time.monotonic()
            if asked - self._at < FRESH:
                return self._state
            if not self._wanted:
                self._wanted, self._asked_at = True, asked
                if self._thread is None:
                    self._thread = threading.Thread(target=self._answer, name="readiness", daemon=True)
                    self._thread.start()
                self._changed.notify_all()
            if self._changed.wait_for(lambda: self._at >= asked, patience):
                return self._state
            waited = time.monotonic() - self._asked_at
            return self._note(State(NO_DATABASE, f"the database hasn't answered for {waited:.0f} s"), "it hangs")

    def _answer(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._wanted)
            state, detail = self._look()
            with self._changed:
                self._note(state, detail)
                self._at, self._wanted = time.monotonic(), False
                self._changed.notify_all()

    def _note(self, state: State, detail: str) -> State:
        """Log what changes: probes come every few seconds."""
        if state.status != self._state.status:
            if state.status == READY:
                logger.info("ready")
            else:
                logger.warning("not ready, %s: %s%s", state.status, state.reason, f" ({detail})" if detail else "")
        self._state = state
        return state
