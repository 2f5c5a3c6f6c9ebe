"""Readiness of this server: the state of the database, checked by one thread, with a timeout."""

import logging
import threading
import time
from collections.abc import Callable

from server.core.db import database_state
from server.core.db.database_state import NEWER_SCHEMA, NO_DATABASE, READY, DatabaseState

logger = logging.getLogger(__name__)

PATIENCE = 2.0
"""Seconds that a probe waits for the database."""

FRESH = 1.0
"""Seconds for which a result is reused, so that many probes cause one check."""

SERVING_STATES = (READY, NEWER_SCHEMA)
"""States in which a server is ready. A newer schema means that an upgrade is in progress: each schema also works with the
previous release, and the old servers must serve until the new ones are ready."""


class ReadinessCheck:
    """Checks the database in a separate thread. If the database hangs, only that thread hangs.

    Parameters
    ----------
    look
        Checks the database, without a timeout. Returns the state and a detail for the log.
    """

    def __init__(self, look: Callable[[], tuple[DatabaseState, str]] = database_state.check_in_detail) -> None:
        self._look = look
        self._changed = threading.Condition()
        self._wanted = False
        self._thread: threading.Thread | None = None
        self._state = DatabaseState(NO_DATABASE, "the database was not checked yet")
        self._at = float("-inf")
        self._asked_at = 0.0

    def state(self, patience: float = PATIENCE) -> DatabaseState:
        """Return a state that is at most :data:`FRESH` seconds old, or a new one within ``patience`` seconds."""
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
            return self._note(
                DatabaseState(NO_DATABASE, f"the database hasn't responded for {waited:.0f} s"), "it hangs"
            )

    def _answer(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._wanted)
            state, detail = self._look()
            with self._changed:
                self._note(state, detail)
                self._at, self._wanted = time.monotonic(), False
                self._changed.notify_all()

    def _note(self, state: DatabaseState, detail: str) -> DatabaseState:
        """Store the state, and log it if it has changed."""
        if state.status != self._state.status:
            if state.status == READY:
                logger.info("ready")
            else:
                logger.warning("not ready, %s: %s%s", state.status, state.reason, f" ({detail})" if detail else "")
        self._state = state
        return state


READINESS = ReadinessCheck()
"""The check that all of this process share."""
