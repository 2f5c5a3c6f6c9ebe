"""`Ledger`: the steps that the agent has, in memory and in the journal, and the agent's messages."""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tailrace.agent.held_step import CLOSED, HeldStep, replayed, update
from tailrace.agent.journal import Journal

__all__ = ["Ledger", "Messages"]

MOST_MESSAGES = 200
LONGEST = 2000


class Messages:
    """What the agent has to say: printed at once, and sent to the server with the next sync."""

    def __init__(self) -> None:
        self._waiting: deque[dict[str, Any]] = deque(maxlen=MOST_MESSAGES)
        self._last: dict[str, str] = {}
        self._mutex = threading.Lock()

    def say(self, text: str, step: str | None = None, level: str = "info") -> None:
        """Say something."""
        text = plain_text(text)
        print(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {level} {text}", file=sys.stderr, flush=True)
        one = {"at": time.time(), "level": level.upper(), "text": text}
        with self._mutex:
            self._waiting.append(one if step is None else {**one, "step": step})

    def say_once(self, topic: str, text: str, level: str = "warning") -> None:
        """Say something about a topic, unless the last words about it were the same. An empty text only ends the topic."""
        if self._last.get(topic, "") != text:
            self._last[topic] = text
            if text:
                self.say(text, level=level)

    def first(self, most: int = 50) -> list[dict[str, Any]]:
        """Returns the oldest messages."""
        with self._mutex:
            return list(self._waiting)[:most]

    def drop(self, sent: list[dict[str, Any]]) -> None:
        """Forget messages that were sent."""
        with self._mutex:
            for one in sent:
                if one in self._waiting:
                    self._waiting.remove(one)


class Ledger:
    """The steps that the agent has. A change is in the journal before it is in memory.

    Parameters
    ----------
    journal
        The journal.
    folder_of
        Returns the folder of an attempt.
    """

    def __init__(self, journal: Journal, folder_of: Callable[[str, int], Path]) -> None:
        self._journal = journal
        self._folder_of = folder_of
        self._mutex = threading.Lock()
        self._steps = replayed(journal.records, folder_of)
        journal.records = []

    def all(self) -> list[HeldStep]:
        """Returns all steps."""
        with self._mutex:
            return list(self._steps.values())

    def get(self, step: str, fence: int) -> HeldStep | None:
        """Returns one attempt; None if the agent does not have it."""
        return self._steps.get((step, fence))

    def in_phase(self, *phases: str) -> list[HeldStep]:
        """Returns the steps in these phases."""
        return [held for held in self.all() if held.phase in phases]

    def add(self, held: HeldStep) -> None:
        """Add a step. Raises JournalFailed if it can't be recorded."""
        with self._mutex:
            self._journal.append(held.record())
            self._steps[held.key] = held

    def change(self, held: HeldStep, report: str = "", **changes: Any) -> None:
        """Change a step. Raises JournalFailed if the change can't be recorded; then nothing changed.

        Parameters
        ----------
        report
            A state to report to the server.
        changes
            Attributes of the step.
        """
        with self._mutex:
            if report and not any(one["state"] == report for one in held.reports):
                changes["reports"] = [*held.reports, {"state": report, "at": time.time()}]
            if all(getattr(held, name) == value for name, value in changes.items()):
                return
            self._journal.append({"step": held.step, "fence": held.fence, **changes})
            update(held, changes)

    def accepted(self, held: HeldStep, state: str) -> None:
        """Forget the reports up to a state, which the server has accepted."""
        states = [one["state"] for one in held.reports]
        if state in states:
            self.change(held, reports=held.reports[states.index(state) + 1 :])

    def gone(self, held: HeldStep) -> None:
        """Forget a step."""
        with self._mutex:
            self._journal.append({"step": held.step, "fence": held.fence, "gone": True})
            self._steps.pop(held.key, None)

    def compact(self) -> None:
        """Write the journal anew, as short as possible."""
        with self._mutex:
            self._journal.rewrite(held.record() for held in self._steps.values())

    def compact_if_long(self) -> None:
        """Write the journal anew if that makes it much shorter."""
        if self._journal.is_long:
            self.compact()

    def holdings(self) -> list[dict[str, Any]]:
        """Returns the steps that are not closed, as the server wants to know them."""
        held = (one for one in self.all() if one.phase != CLOSED)
        return [{"step": one.step, "fence": one.fence, "state": one.server_state} for one in held]


def plain_text(text: str) -> str:
    """Returns a text without control characters, and not too long."""
    return "".join(one if one.isprintable() else " " for one in str(text))[:LONGEST]


def plain_lines(text: str) -> str:
    """Returns a text of several lines without control characters. Its length is the server's to limit."""
    return "".join(one if one.isprintable() or one == "\n" else " " for one in str(text))
