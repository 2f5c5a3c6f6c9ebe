"""`Keeper`: keeps one service as it is wanted. Each has a thread of its own, so that one that hangs delays no other."""

from __future__ import annotations

import threading
import time
from typing import Any

from tailrace.model_agent import health
from tailrace.model_agent.engine import Engine, EngineError, Status
from tailrace.model_agent.relay import NoAnswer, RelayPool, Reply
from tailrace.model_agent.settings import Settings
from tailrace.model_agent.wanted import DELETED, RUNNING, Refused, Wanted

__all__ = ["Keeper"]

CHECK_SECONDS = 10.0
EAGER_SECONDS = 0.5
FIRST_WAIT, LONGEST_WAIT = 2.0, 300.0
LASTING = 600.0
"""Seconds of health after which earlier failures are forgotten."""
FAILURES = 3
"""Failed checks in a row after which a healthy service is started anew."""


class Keeper(threading.Thread):
    """One service: its container, its health, restarts with growing waits.

    Parameters
    ----------
    check_seconds
        Time between two checks of a healthy service, s.
    """

    def __init__(
        self, engine: Engine, settings: Settings, wanted: Wanted, check_seconds: float = CHECK_SECONDS
    ) -> None:
        super().__init__(name=f"keeper of {wanted.name}", daemon=True)
        self._engine, self._settings, self._check_seconds = engine, settings, check_seconds
        self._wake = threading.Event()
        self._lock = threading.Lock()
        self._wanted = wanted
        self._ending = False
        self._pool: RelayPool | None = None
        self._said: tuple[Wanted, str, str] = (wanted, "waiting", "")
        self._restarts = 0
        self._failed_in_row = self._engine_failures = 0
        self._began_at = 0.0
        self._healthy_since: float | None = None
        self._not_before = 0.0
        self._wait = FIRST_WAIT

    def want(self, wanted: Wanted) -> None:
        """Change what is wanted."""
        with self._lock:
            if wanted == self._wanted:
                return
            if wanted.fingerprint != self._wanted.fingerprint or wanted.wanted != self._wanted.wanted:
                self._restarts, self._wait, self._not_before = 0, FIRST_WAIT, 0.0
            self._wanted = wanted
        self._wake.set()

    def report(self) -> dict[str, Any]:
        """Return what the server is told."""
        wanted, state, reason = self._said
        return {
            "name": wanted.name, "generation": wanted.generation, "wanted": wanted.wanted, "state": state,
            "reason": reason[:2_000], "restarts": self._restarts,
        }  # fmt: skip

    @property
    def is_done(self) -> bool:
        """Whether the service is deleted, as wanted."""
        return self._said[1] == "deleted"

    def ask(self, content: bytes, content_type: str, seconds: float) -> Reply:
        """Pass a request on to a healthy service.

        Raises
        ------
        NoAnswer
            If it isn't healthy, or there is no answer.
        """
        pool = self._pool
        if pool is None or self._said[1] != "healthy":
            raise NoAnswer(f"the service is {self._said[1]}: {self._said[2]}")
        try:
            return pool.ask("POST", "/invocations", content, content_type, seconds)
        except EngineError as error:
            raise NoAnswer(str(error)) from error

    def end(self) -> None:
        """End the thread. The container goes on, and the next run of the agent finds it."""
        self._ending = True
        self._wake.set()

    def run(self) -> None:
        """Do what is wanted until the end."""
        while not self._ending:
            with self._lock:
                wanted = self._wanted
            try:
                pause = self._step(wanted)
                self._engine_failures = 0
            except Refused as refused:
                self._say(wanted, "refused", str(refused))
                self._remove(wanted)
                pause = self._check_seconds
            except EngineError as error:
                self._engine_failures += 1
                if self._engine_failures >= FAILURES:
                    self._say(wanted, "unhealthy", f"the engine fails: {error}")
                pause = FIRST_WAIT
            except Exception as error:  # a bug must not end the care for a service
                self._say(wanted, "unhealthy", f"{type(error).__name__}: {error}")
                pause = self._check_seconds
            self._wake.wait(pause)
            self._wake.clear()
        self._close_pool()

    def _say(self, wanted: Wanted, state: str, reason: str = "") -> None:
        self._said = wanted, state, reason

    def _step(self, wanted: Wanted) -> float:
        """Do the next thing, and return after how many seconds to look again."""
        status = self._engine.status_of(wanted.name)
        if wanted.wanted != RUNNING:
            self._drop(status)
            self._say(wanted, "deleted" if wanted.wanted == DELETED else "stopped")
            return self._check_seconds
        wanted.check(self._settings)
        if status is not None and status.fingerprint != wanted.fingerprint:
            self._drop(status)
            status = None
        if status is not None and not status.running:
            self._fail(wanted, status, " ".join((status.ended, self._engine.tail(status))).strip())
            status = None
        now = time.monotonic()
        if status is None:
            if now < self._not_before:
                return min(self._not_before - now, FIRST_WAIT)
            container = self._engine.run(wanted)
            self._begin(wanted, container, now)
            return EAGER_SECONDS
        if self._pool is None:  # an earlier run of the agent started it
            self._begin(wanted, status.id, now)
        return self._look(wanted, status)

    def _begin(self, wanted: Wanted, container: str, now: float) -> None:
        self._close_pool()
        self._pool = RelayPool(self._engine, container, wanted.port)
        self._began_at, self._healthy_since, self._failed_in_row = now, None, 0
        self._say(wanted, "starting")

    def _look(self, wanted: Wanted, status: Status) -> float:
        assert self._pool is not None
        trouble = health.problem(self._pool, wanted.sample)
        now = time.monotonic()
        if not trouble:
            self._failed_in_row = 0
            self._healthy_since = self._healthy_since or now
            if now - self._healthy_since > LASTING:
                self._wait = FIRST_WAIT
            self._say(wanted, "healthy")
            return self._check_seconds
        if self._healthy_since is None:
            if now - self._began_at < wanted.start_seconds:
                self._say(wanted, "starting", trouble)
                return EAGER_SECONDS
            self._fail(wanted, status, f"not healthy after {wanted.start_seconds:g} s: {trouble}")
            return EAGER_SECONDS
        self._failed_in_row += 1
        self._say(wanted, "unhealthy", trouble)
        if self._failed_in_row >= FAILURES:
            self._fail(wanted, status, trouble)
        return EAGER_SECONDS

    def _fail(self, wanted: Wanted, status: Status, why: str) -> None:
        """Remove a container that failed. The next one starts after a wait that doubles with each failure."""
        self._drop(status)
        self._restarts += 1
        self._not_before = time.monotonic() + self._wait
        self._say(wanted, "backing off", f"{why}; it starts again after {self._wait:g} s")
        self._wait = min(2 * self._wait, LONGEST_WAIT)

    def _drop(self, status: Status | None) -> None:
        self._close_pool()
        if status is not None:
            self._engine.delete(status)

    def _remove(self, wanted: Wanted) -> None:
        try:
            self._drop(self._engine.status_of(wanted.name))
        except EngineError:
            return

    def _close_pool(self) -> None:
        if self._pool is not None:
            self._pool.close()
        self._pool = None
