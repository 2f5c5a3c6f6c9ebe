"""`QueueWatch`: tells from the queue's answers and the jobs' files what became of the jobs."""

from __future__ import annotations

import json
import os
import time
from typing import Any

from tailrace.agent.held_step import ENDED, IN_QUEUE, PERMITTED, SUBMITTED, SUBMITTING, HeldStep
from tailrace.agent.job_script import BEGUN
from tailrace.agent.job_script import ENDED as ENDED_FILE
from tailrace.agent.ledger import Ledger, Messages
from tailrace.launchers.job_queues import RUNNING, JobQueue, QueuedJob
from tailrace.launchers.queues import QueueFailed

__all__ = ["QueueWatch"]

SUBMISSIONS = 3
"""Most submissions of an attempt whose job never appeared in the queue."""


class QueueWatch:
    """Moves steps on whose jobs are in the queue.

    A job has ended if its script renamed ``ended.json`` into place, or if two answers of the queue, some time apart, do not
    have it. An error of the queue is not an answer.

    Parameters
    ----------
    ledger, messages
        Of the agent.
    queue
        The batch system's queue.
    server
        The server's address, which is part of the jobs' names.
    gap
        Seconds between two answers of the queue that count as two.
    """

    def __init__(self, ledger: Ledger, messages: Messages, queue: JobQueue, server: str, gap: float) -> None:
        self._ledger = ledger
        self._messages = messages
        self._queue = queue
        self._server = server
        self._gap = gap

    def look_at_files(self) -> None:
        """Find jobs that have begun or ended by the files that their scripts made."""
        for held in self._ledger.in_phase(*IN_QUEUE):
            try:
                text = (held.folder / ENDED_FILE).read_bytes()
            except FileNotFoundError:
                if not held.running and _has_begun(held):
                    self._ledger.change(held, report="running", phase=SUBMITTED, running=True)
                continue
            self._ledger.change(held, report="settling", phase=ENDED, outcome=_outcome(text))

    def ask(self) -> list[tuple[HeldStep, list[QueuedJob]]] | None:
        """Ask the queue about all jobs at once. Returns its answer for `take`; None if it gave none."""
        asked = [(held, held.job(self._server)) for held in self._ledger.in_phase(*IN_QUEUE)]
        if not asked:
            return []
        try:
            found = self._queue.watch([job for _, job in asked])
        except QueueFailed as error:
            self._messages.say_once("queue", f"the queue gives no answer, so nothing is concluded: {error}")
            return None
        self._messages.say_once("queue", "")
        return [(held, found.get(job.key, [])) for held, job in asked]

    def take(self, answer: list[tuple[HeldStep, list[QueuedJob]]]) -> list[str]:
        """Take an answer of the queue. Returns the numbers of jobs to cancel."""
        unwanted: list[str] = []
        now = time.monotonic()
        for held, jobs in answer:
            alive = [one for one in jobs if one.alive]
            if held.phase not in IN_QUEUE:
                continue
            if alive:
                held.absent_since = None
                unwanted += [one.number for one in alive] if held.cancel else []
                self._in_queue(held, alive)
            elif not (held.folder / ENDED_FILE).exists():
                self._absent(held, jobs[-1] if jobs else None, now)
        return unwanted

    def cancel(self, numbers: list[str]) -> None:
        """Cancel jobs."""
        try:
            self._queue.cancel(numbers)
        except QueueFailed as error:
            self._messages.say_once("cancel", f"jobs can't be cancelled now: {error}")

    def _in_queue(self, held: HeldStep, alive: list[QueuedJob]) -> None:
        first = next((one for one in alive if one.state == RUNNING), alive[0])
        if held.phase == SUBMITTING or held.number != first.number:
            self._ledger.change(held, report="queued", phase=SUBMITTED, number=first.number, trouble="")

    def _absent(self, held: HeldStep, last: QueuedJob | None, now: float) -> None:
        if held.absent_since is None:
            held.absent_since = now
        if now - held.absent_since < self._gap:
            return
        begun = _has_begun(held)
        if held.phase == SUBMITTING and not begun and not held.cancel and held.submissions < SUBMISSIONS:
            # The queue does not have it. If it should start after all, it is one of two, of which one makes the directory.
            self._ledger.change(held, phase=PERMITTED)
            return
        if not begun:
            try:
                # No job of this attempt can begin from now on.
                os.mkdir(held.folder / BEGUN.format(fence=held.fence))
            except FileExistsError:
                held.absent_since = None  # it has just begun
                return
        word = last.reason if last is not None else self._queue.ending(held.number) if held.number else ""
        reason = "its job is no longer in the queue, and left no word of how it ended"
        if not begun:
            reason = held.trouble and f"it could not be submitted: {held.trouble}"
        outcome = {"exit_code": None, "reason": reason, "word": word, "begun": begun}
        self._ledger.change(held, report="settling", phase=ENDED, outcome=outcome)


def _has_begun(held: HeldStep) -> bool:
    return (held.folder / BEGUN.format(fence=held.fence)).is_dir()


def _seconds(found: dict[str, Any]) -> float | None:
    """Returns how long a job took, s: by the time since the boot, which no clock changes; None if that is not known."""
    first, last = found.get("uptime") or (None, None)
    if isinstance(first, (int, float)) and isinstance(last, (int, float)) and 0 <= last - first < float("inf"):
        return round(last - first, 3)
    seconds = float(found["ended"] - found["began"])
    return seconds if seconds >= 0 else None


def _outcome(text: bytes) -> dict[str, Any]:
    """Returns what ``ended.json`` says; a file that is not valid says nothing but that the job has ended."""
    try:
        found = json.loads(text)
        outcome = {name: found[name] for name in ("exit_code", "began", "ended")}
        if all(isinstance(one, int) for one in outcome.values()):
            took = {"seconds": _seconds(found)}
            return {**outcome, **took, "host": str(found["host"])[:255], "signal": str(found["signal"])[:20]}
    except (ValueError, KeyError, TypeError):
        pass
    return {"exit_code": None, "reason": f"{ENDED_FILE} is not valid: was it changed?"}
