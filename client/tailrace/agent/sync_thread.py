"""`SyncThread`: keeps the contact to the server, from a thread that no work can starve."""

from __future__ import annotations

import math
import queue
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tailrace.agent.ledger import Messages
from tailrace.agent.load import CpuMeter, memory_used
from tailrace.agent.server_calls import ServerCalls, Superseded
from tailrace.errors import Conflict, TailraceError

__all__ = ["State", "SyncThread"]

INTERVAL = 20.0
SHORTEST = 0.2
MOST_REPORTS = 500


@dataclass(frozen=True)
class State:
    """What the agent tells the server. The main thread makes a new one whenever something changes.

    Attributes
    ----------
    reports
        State changes that the server has not accepted yet.
    free
        How many more steps the agent can take.
    load
        What the main thread has measured: disk and jobs.
    holdings
        All steps, for the first contact.
    """

    reports: tuple[dict[str, Any], ...] = ()
    free: int = 0
    load: Mapping[str, Any] = field(default_factory=dict)
    holdings: tuple[dict[str, Any], ...] = ()


class SyncThread(threading.Thread):
    """Registers the agent and syncs at the interval that the server sets.

    It touches no disk. What the server answers waits in `answers` for the main thread.

    Parameters
    ----------
    calls
        Requests to the server.
    introduction
        What the server is told about the agent when it registers, without holdings.
    messages
        The agent's messages.
    wake
        Set whenever an answer has come.
    longest
        Most seconds between two syncs, whatever the server asks for.

    Attributes
    ----------
    state
        What to tell the server.
    answers
        Answers, each with the reports that the server has taken.
    away
        Whether the last request failed.
    interval
        Seconds between two syncs.
    fatal
        Why the agent must stop; None if it may go on.
    """

    def __init__(
        self,
        calls: ServerCalls,
        introduction: Mapping[str, Any],
        messages: Messages,
        wake: threading.Event,
        longest: float,
    ) -> None:
        super().__init__(name="sync", daemon=True)
        self.state = State()
        self.answers: queue.SimpleQueue[tuple[dict[str, Any], tuple[dict[str, Any], ...]]] = queue.SimpleQueue()
        self.away = True
        self.interval = min(INTERVAL, longest)
        self._longest = longest
        self.fatal: str | None = None
        self._calls = calls
        self._introduction = introduction
        self._messages = messages
        self._wake = wake
        self._hurry = threading.Event()
        self._ending = False
        self._claim: str | None = None
        self._untaken = 0
        self._cpu = CpuMeter()
        self._registered = False

    def hurry(self) -> None:
        """Sync at once, because something has changed that the server wants to know."""
        self._hurry.set()

    def taken(self) -> None:
        """Tell that the main thread has taken an answer and made a new state."""
        self._untaken -= 1

    def stop(self) -> None:
        """End the thread after the request under way."""
        self._ending = True
        self._hurry.set()

    def run(self) -> None:
        """Sync until `stop`, or until the server does not let this session go on."""
        while not self._ending:
            started = time.monotonic()
            try:
                self._talk()
                self.away = False
                self._messages.say_once("contact", "")
            except Superseded as error:
                self.fatal = str(error)
                self._wake.set()
                return
            except TailraceError as error:
                self.away = True
                disabled = isinstance(error, Conflict)
                self._messages.say_once("contact", f"{error}" if disabled else f"no contact to the server: {error}")
            except Exception as error:  # an answer that makes no sense must not end the contact
                self.away = True
                self._messages.say_once(
                    "contact", f"the server's answer can't be used: {type(error).__name__}: {error}"
                )
            self._wake.set()
            time.sleep(SHORTEST)  # several changes share a request
            self._hurry.wait(max(0.0, self.interval - (time.monotonic() - started)))
            self._hurry.clear()

    def _talk(self) -> None:
        if not self._registered:
            answer = self._calls.register({**self._introduction, "holdings": list(self.state.holdings)})
            self._registered = True
            self._set_interval(answer)
            for one in answer.get("refused") or ():
                self._messages.say(f"the server does not offer {one.get('name')}: {one.get('reason')}", level="error")
            self.answers.put((answer, ()))
            self._untaken += 1
            self._hurry.set()
            return
        state, messages = self.state, self._messages.first()
        free = state.free if self._untaken == 0 else 0
        if free > 0 and self._claim is None:
            self._claim = str(uuid.uuid4())
        reports = state.reports[:MOST_REPORTS]
        load = {**state.load, "cpu": self._cpu.read(), "memory": memory_used()}
        body = {
            # A claim whose answer was lost is repeated, and gets the same work.
            "claim": self._claim if free > 0 else None,
            "free": free,
            "load": load,
            "steps": list(reports),
            "messages": messages,
        }
        answer = self._calls.sync(body)
        if free > 0:
            self._claim = None
        self._messages.drop(messages)
        self._set_interval(answer)
        self._untaken += 1
        self.answers.put((answer, reports))

    def _set_interval(self, answer: Mapping[str, Any]) -> None:
        given = answer.get("interval")
        if isinstance(given, (int, float)) and not isinstance(given, bool) and math.isfinite(given):
            self.interval = min(max(float(given), SHORTEST), self._longest)
