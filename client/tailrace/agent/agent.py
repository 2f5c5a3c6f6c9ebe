"""`Agent`: pulls steps of calculations, runs them through the site's scheduler, and reports."""

from __future__ import annotations

import os
import socket
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from tailrace.agent.cleaning import clean, discard, empty_trash
from tailrace.agent.held_step import ACTIVE, CLOSED, IN_QUEUE, SUBMITTED, HeldStep
from tailrace.agent.incoming import RefusedWork, check_work
from tailrace.agent.journal import Journal, JournalFailed
from tailrace.agent.ledger import Ledger, Messages
from tailrace.agent.plugin_process import PluginFailed, Plugins
from tailrace.agent.queue_watch import QueueWatch
from tailrace.agent.root import Root, check_step
from tailrace.agent.server_calls import ServerCalls
from tailrace.agent.site_file import SiteFile
from tailrace.agent.step_work import StepWork
from tailrace.agent.sync_thread import State, SyncThread
from tailrace.atomic_files import read_json, write_json
from tailrace.errors import TailraceError, Unusable
from tailrace.launchers.queue_kinds import make_queue
from tailrace.version import __version__

__all__ = ["Agent", "job_environment"]

WORKERS = 4
TICK = 1.0
"""Seconds between two looks at the files of running jobs."""

MOST_OFTEN = 50
"""Jobs whose files are looked at every `TICK`; if there are more, at the server's interval."""

CLEANED = "cleaned"
MOST_CLEANED = 500
"""Most folders that are cleaned because of one answer."""

NOT_OURS = ("superseded", "given back")
"""States of attempts that the server has taken from this agent."""

OWN = ("TAILRACE_TOKEN", "TAILRACE_URL")


class Agent:
    """An agent at work in its root, which it holds until `close`.

    Parameters
    ----------
    site
        The site's file.

    Raises
    ------
    TailraceError
        If the root, the token or every program is not usable, or another agent holds the root.
    """

    def __init__(self, site: SiteFile) -> None:
        self.site = site
        self.messages = Messages()
        self.root = Root(site.root)
        self.root.lock()
        self._calls = ServerCalls(site.server, site.token_file)
        identity = self.root.identity(self._calls.address)
        self.ledger = Ledger(Journal(self.root.journal), self.root.step)
        queue = make_queue(site.launcher, job_environment())
        self._work = StepWork(site, self.root, self.ledger, self._calls, queue, self.messages)
        self._watch = QueueWatch(self.ledger, self.messages, queue, self._calls.address, site.limits.absent_seconds)
        self._wake = threading.Event()
        self._ending = False
        self._maintenance = False
        self._pool = ThreadPoolExecutor(WORKERS, "work")
        self._tasks: dict[str, Future[Any]] = {}
        self._queue_at = self._look_at = self._routine_at = 0.0
        self._trouble = ""
        self._unstored: list[dict[str, Any]] = []
        self._disk: tuple[int, int] = (0, 0)
        self._clean_up()
        introduction = {
            "agent": identity["agent"], "host": socket.gethostname(), "root": str(self.root.path), "version": __version__,
            "launcher": site.launcher.name, "slots": site.at_once, "programs": self._programs(self._work.plugins),
        }  # fmt: skip
        self._sync = SyncThread(
            self._calls, introduction, self.messages, self._wake, max(1.0, site.limits.sync_seconds)
        )

    def run(self) -> int:
        """Work until `stop`. Returns the exit code: 1 if the server does not let this agent go on."""
        self.messages.say(f"agent {__version__} works in {self.root.path} for {self._calls.address}")
        self._measure()
        self._tell()
        self._sync.start()
        while not self._ending and self._sync.fatal is None:
            try:
                self.tick()
            except (JournalFailed, OSError) as error:
                self._refuse(str(error))
            self._wake.wait(self._pause())
            self._wake.clear()
        if self._sync.fatal is not None:
            self.messages.say(f"stopped, the jobs go on: {self._sync.fatal}", level="error")
            return 1
        return 0

    def stop(self) -> None:
        """End `run`. Jobs go on; the next start finds them."""
        self._ending = True
        self._wake.set()

    def close(self) -> None:
        """Release the root."""
        self._sync.stop()
        self._pool.shutdown(wait=True)
        self.root.unlock()

    def tick(self) -> None:
        """Do once what there is to do."""
        now = time.monotonic()
        self._take_answers()
        if now >= self._routine_at:
            self._routine_at = now + self._sync.interval
            self._measure()
            self._store_work()
            self.ledger.compact_if_long()
            self._work.undelivered = True
        if self._work.undelivered and not self._sync.away:
            self._work.undelivered = False
            self._start("observations", self._work.deliver_observations)
        if now >= self._look_at:
            many = len(self.ledger.in_phase(*IN_QUEUE)) > MOST_OFTEN
            self._look_at = now + (self._sync.interval if many else TICK)
            self._watch.look_at_files()
        self._look_at_queue(now)
        for held in self.ledger.all():
            if self._work.needed(held, self._sync.away):
                self._start(f"step {held.step} {held.fence}", self._work.advance, held)
        self._tell()

    # Between the threads

    def _start(self, name: str, task: Any, *arguments: Any) -> None:
        """Run a task in the pool, unless it runs already."""
        before = self._tasks.get(name)
        if before is not None and not before.done():
            return
        self._tasks = {key: one for key, one in self._tasks.items() if not one.done()}

        def run() -> Any:
            try:
                return task(*arguments)
            except (TailraceError, OSError) as error:
                self.messages.say_once(name, str(error))
                return None
            finally:
                self._wake.set()

        self._tasks[name] = self._pool.submit(run)

    def _tell(self) -> None:
        """Make a new state for the sync thread, and hurry it if the state holds news."""
        held = self.ledger.all()
        reports = [
            {
                "step": one.step,
                "fence": one.fence,
                **report,
                **({"job": one.number.partition(";")[0]} if one.number else {}),
            }
            for one in held
            for report in one.reports
        ]
        active = sum(one.phase in ACTIVE for one in held)
        running = sum(one.running and one.phase == SUBMITTED for one in held)
        waiting = sum(one.phase in IN_QUEUE for one in held) - running
        load = {
            "disk_free": self._disk[0], "disk_total": self._disk[1], "jobs_running": running, "jobs_waiting": waiting,
        }  # fmt: skip
        quiet = self._trouble or self._maintenance
        free = 0 if quiet else max(0, self.site.at_once - active - len(self._unstored))
        before = self._sync.state
        self._sync.state = State(tuple(reports), free, load, tuple(self.ledger.holdings()))
        if len(reports) > len(before.reports) or free > before.free:
            self._sync.hurry()

    def _pause(self) -> float:
        now = time.monotonic()
        due = [self._routine_at, *([self._look_at] if self.ledger.in_phase(*IN_QUEUE) else [])]
        # What is under way wakes this thread when it is done, and so does the contact to the server.
        due += [held.retry_at for held in self.ledger.all() if held.retry_at > now]
        return min(max(0.05, min(due) - now), self._sync.interval)

    def _refuse(self, why: str) -> None:
        self._trouble = why
        self.messages.say_once("disk", f"nothing new is taken: {why}", "error")
        self._tell()

    def _measure(self) -> None:
        """Measure the disk. If it is full or read-only, nothing new is taken."""
        try:
            self._disk = self.root.free_bytes()
            self.root.check_writable()
        except OSError as error:
            self._refuse(f"{self.root.path} can't be written: {error.strerror or error}")
            return
        needed = self.site.limits.disk_free_gb
        if self._disk[0] < needed * 1e9:
            self._refuse(
                f"{self._disk[0] / 1e9:.1f} GB are free in {self.root.path}, and limits.disk_free_gb is {needed:g}"
            )
            return
        if self._trouble:
            self._trouble = ""
            self.messages.say_once("disk", "")
            self.messages.say("the root can be written again")

    # What the server says

    def _take_answers(self) -> None:
        while not self._sync.answers.empty():
            answer, reports = self._sync.answers.get()
            try:
                self._take(answer, reports)
            except (JournalFailed, OSError):
                raise
            except Exception as error:  # whatever a server sends must not end the agent
                self.messages.say_once("answer", f"the server's answer can't be used: {error!r}", "error")
            finally:
                self._tell()
                self._sync.taken()

    def _take(self, answer: dict[str, Any], reports: tuple[dict[str, Any], ...]) -> None:
        for one in reports:
            held = self.ledger.get(one["step"], one["fence"])
            if held is not None:
                self.ledger.accepted(held, one["state"])
                if one["state"] == CLEANED:
                    self.ledger.gone(held)
        for one in _objects(answer, "accepted"):
            if one.get("state") in NOT_OURS:
                self._want_cancelled(self._named(one))
        settings = answer.get("settings")
        if isinstance(settings, dict):
            self._work.settings = settings
        if "state" in answer:
            self._maintenance = answer["state"] != "enabled"
        self._unstored += _objects(answer, "work")
        self._store_work()
        for one in _objects(answer, "cancel"):
            self._want_cancelled(self._named(one))
        if some := self._to_clean(_objects(answer, "clean")):
            self._start("cleaning", self._clean, some)

    def _named(self, one: dict[str, Any]) -> HeldStep | None:
        try:
            return self.ledger.get(*check_step(one.get("step"), one.get("fence")))
        except Unusable:
            return None

    def _want_cancelled(self, held: HeldStep | None) -> None:
        if held is not None and held.phase in ACTIVE and not held.cancel:
            self.ledger.change(held, cancel=True)
            self._queue_at = 0.0

    def _store_work(self) -> None:
        """Take the work that the server has sent. What the disk can't hold now is tried again later."""
        while self._unstored:
            try:
                self._accept(self._unstored[0])
            except Unusable as error:
                self.messages.say_once("work", f"the server sent work that can't be taken: {error}", "error")
            except (JournalFailed, OSError) as error:
                self._refuse(f"a step can't be stored: {error}")
                return
            del self._unstored[0]

    def _accept(self, work: dict[str, Any]) -> None:
        """Take a step: its folder first, then the journal. Only then does it count."""
        step, fence = check_step(work.get("step"), work.get("fence"))
        if self.ledger.get(step, fence) is not None:
            return
        others = [held for held in self.ledger.all() if held.step == step]
        if any(held.fence > fence for held in others):
            raise Unusable(f"step {step} has fence {fence}, and a newer one is here")
        work.pop("walltime", None)  # what this agent adds itself
        refusal = ""
        try:
            check_work(work, self.site.programs)
        except RefusedWork as error:
            refusal = str(error)
        folder = self.root.step(step, fence)
        if folder.parent.is_symlink() or folder.is_symlink():
            raise Unusable(f"{folder} leads out of the root: nothing is written there")
        folder.mkdir(parents=True, exist_ok=True)
        if refusal:
            self._accept_refused(step, fence, refusal)
            return
        write_json(folder / "step.json", work)
        seconds = (work.get("resources") or {}).get("seconds")
        self.ledger.add(HeldStep(step, fence, folder, work["program"], seconds))
        for held in others:
            self._want_cancelled(held)  # a person decided that the step runs again

    def _accept_refused(self, step: str, fence: int, reason: str) -> None:
        held = HeldStep(step, fence, self.root.step(step, fence))
        self._work.refuse(held, reason)

    # Clean-up

    def _to_clean(self, asked: list[dict[str, Any]]) -> list[HeldStep]:
        """Returns the steps to clean. One that is not known here is added: otherwise the server would name it for ever."""
        found = []
        for one in asked[:MOST_CLEANED]:
            try:
                step, fence = check_step(one.get("step"), one.get("fence"))
            except Unusable:
                continue
            held = self.ledger.get(step, fence)
            if held is None:
                held = HeldStep(step, fence, self.root.step(step, fence), phase=CLOSED)
                self.ledger.add(held)
            if held.phase == CLOSED:
                found.append(held)
        return found

    def _clean(self, some: list[HeldStep]) -> None:
        for held in some:
            try:
                settled = read_json(held.folder / "settle.json") or {}
                size = clean(self.root, held.folder, settled.get("always") or ())
            except (OSError, ValueError) as error:  # the others are cleaned all the same
                name = f"step {held.step}, fence {held.fence}"
                self.messages.say_once(f"cleaning {name}", f"{name} can't be cleaned: {error}")
                continue
            self.ledger.change(held, report=CLEANED)
            if size:
                self.messages.say(f"step {held.step}, fence {held.fence}: {size / 1e6:.1f} MB were deleted", held.step)

    def _clean_up(self) -> None:
        """Delete what a former agent left behind: trash, and folders of steps that it never recorded."""
        empty_trash(self.root)
        for folder in (self.root.path / "steps").glob("*/*/"):
            known = folder.name.isdigit() and self.ledger.get(folder.parent.name, int(folder.name)) is not None
            if (
                folder.name.isdigit()
                and not known
                and not list(folder.glob("begun.*"))
                and not (folder / "results.json").exists()
            ):
                discard(self.root, folder)
        self.ledger.compact()

    def _programs(self, plugins: Plugins) -> list[dict[str, Any]]:
        found = []
        for name in self.site.programs:
            try:
                found.append(plugins.describe(name))
                self._work.versions[name] = found[-1]["version"]
            except PluginFailed as error:
                self.messages.say(f"the program {name} is not offered: {error}", level="error")
        if not found:
            raise Unusable(f"no program of {self.site.path} can run here: `tailrace agent check` says why")
        return found

    def _look_at_queue(self, now: float) -> None:
        """Ask the queue once an interval, in the pool; take its answer here."""
        task = self._tasks.get("queue")
        if task is not None and task.done():
            del self._tasks["queue"]
            answer = task.result()
            if answer:
                unwanted = self._watch.take(answer)
                if unwanted:
                    self._start("cancel", self._watch.cancel, unwanted)
        if now >= self._queue_at and self.ledger.in_phase(*IN_QUEUE) and "queue" not in self._tasks:
            self._queue_at = now + min(self._sync.interval, max(1.0, self.site.limits.absent_seconds / 2))
            self._start("queue", self._watch.ask)
            if not self._sync.away:
                self._start("logs", self._send_logs)

    def _send_logs(self) -> None:
        for held in self.ledger.in_phase(SUBMITTED):
            if held.running:
                self._work.send_log(held)


def job_environment() -> dict[str, str]:
    """Returns the environment of jobs: the agent's own, without what is for the agent alone."""
    return {name: value for name, value in os.environ.items() if name not in OWN}


def _objects(answer: dict[str, Any], name: str) -> list[dict[str, Any]]:
    found = answer.get(name)
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
