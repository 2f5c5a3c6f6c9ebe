"""`StepWork`: takes a step from one phase to the next, up to the submission of its job and from its end on."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tailrace.agent.cleaning import discard
from tailrace.agent.held_step import (
    ACCEPTED,
    CLOSED,
    ENDED,
    PERMITTED,
    PREPARED,
    SETTLED,
    SUBMITTED,
    SUBMITTING,
    HeldStep,
)
from tailrace.agent.job_script import SCRIPT, job_script
from tailrace.agent.journal import JournalFailed
from tailrace.agent.ledger import Ledger, Messages, plain_lines, plain_text
from tailrace.agent.log_upload import send_log
from tailrace.agent.plugin_process import PluginFailed, Plugins
from tailrace.agent.root import Root
from tailrace.agent.server_calls import ServerCalls, Superseded
from tailrace.agent.site_file import SiteFile
from tailrace.agent.wall_times import WallTimes, kept
from tailrace.atomic_files import read_json, replacing, write_json
from tailrace.errors import Refused, Unreachable
from tailrace.launchers.job_queues import JobQueue
from tailrace.launchers.queues import QueueFailed
from tailrace.launchers.schedulers import Resources
from tailrace.programs.files import tail
from tailrace.spool.spool import Spool

__all__ = ["StepWork"]

RETRY = 20.0
"""Seconds before something that failed for reasons outside of the step is tried again."""

CANCELLED = "CANCELLED"
BY_THE_SITE = (CANCELLED, "BOOT_FAIL", "DEADLINE", "NODE_FAIL", "OUT_OF_ME", "PREEMPTED", "REVOKED", "TIMEOUT")
"""Words of batch systems for jobs that did not end by themselves."""
SCHEDULER_OUTPUT = "scheduler.txt"
EXCEEDED = "Exceeded job memory limit"
LOG_LIMIT, FILE_LIMIT = 10 << 20, 10 << 20


class StepWork:
    """Does what a step needs next. Everything it does can be interrupted at any time and repeated."""

    def __init__(
        self,
        site: SiteFile,
        root: Root,
        ledger: Ledger,
        calls: ServerCalls,
        queue: JobQueue,
        messages: Messages,
    ) -> None:
        self._site = site
        self._root = root
        self._ledger = ledger
        self._calls = calls
        self._queue = queue
        self._messages = messages
        self._spool = Spool(root.spool)
        self._wall_times = WallTimes(calls)
        self.plugins = Plugins(site, root.path)
        self.settings: dict[str, Any] = {}
        self.undelivered = False
        self.versions: dict[str, str] = {}
        self._retry = min(RETRY, site.limits.sync_seconds)
        self._actions: dict[str, Callable[[HeldStep], None]] = {
            ACCEPTED: self._prepare,
            PREPARED: self._permit,
            PERMITTED: self._submit,
            ENDED: self._settle,
            SETTLED: self._report,
        }

    def needed(self, held: HeldStep, away: bool) -> bool:
        """Whether there is something to do for a step. While the server is `away`, what needs it waits."""
        if held.phase not in self._actions or time.monotonic() < held.retry_at:
            return False
        return not (away and held.phase in (PREPARED, SETTLED))

    def advance(self, held: HeldStep) -> None:
        """Do all that can be done for a step now."""
        try:
            while held.phase in self._actions:
                before = held.phase
                if held.cancel and before in (ACCEPTED, PREPARED, PERMITTED):
                    self._end(held, "cancelled", "cancelled before it was submitted")
                else:
                    self._actions[before](held)
                if held.phase == before:
                    return
        except (JournalFailed, OSError) as error:
            held.retry_at = time.monotonic() + self._retry
            self._messages.say_once("disk", f"{error}; trying again", "error")
        except (Unreachable, Refused) as error:
            held.retry_at = time.monotonic() + self._retry
            self._messages.say_once("server", f"{error}; trying again")
        except Exception as error:  # a fault of ours must not end the agent, nor be tried in a hurry
            held.retry_at = time.monotonic() + 10 * self._retry
            self._messages.say(f"step {held.step}: {type(error).__name__}: {error}", held.step, "error")

    def send_log(self, held: HeldStep, *, ended: bool = False) -> bool:
        """Send what is new in a job's output. Returns whether that is all."""
        return send_log(self._calls, held, int(self.settings.get("log_limit") or LOG_LIMIT), ended=ended)

    def deliver_observations(self) -> None:
        """Deliver the observations that wait."""
        if self._spool.waiting():
            for delivery in self._spool.flush(self._calls.server, deadline=RETRY):
                if delivery.refused is not None:
                    self._messages.say(f"an observation was refused for good: {delivery.refused}", level="error")

    def drop(self, held: HeldStep, reason: str) -> None:
        """Forget an attempt that never ran."""
        self._messages.say(f"step {held.step}, fence {held.fence} is given up: {reason}", held.step)
        discard(self._root, held.folder)
        self._ledger.gone(held)

    def refuse(self, held: HeldStep, reason: str) -> None:
        """Add a step that can't be run here. It has failed."""
        held.phase, held.state = SETTLED, "failed"
        self._write_results(held, "failed", reason)
        self._ledger.add(held)

    # The phases

    def _prepare(self, held: HeldStep) -> None:
        for path in held.folder.iterdir():
            if path.name != "step.json":
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        limit = self._limited(held)
        plan = self._planned(held)
        if plan is None:
            return
        self._compare_version(held.program, plan["version"])
        text = job_script(held.step, held.fence, held.folder, plan["command"], self._site.programs[held.program])
        _write(held.folder / SCRIPT, text)
        self._ledger.change(held, phase=PREPARED, limit=limit)

    def _limited(self, held: HeldStep) -> int | None:
        """Give the step its wall time, in ``step.json``, before its input files are made. Returns it, s.

        The first attempt has that of the model. A further one has the time that was given, or that its handler wants.
        """
        work, rule = read_json(held.folder / "step.json"), self._site.programs[held.program].walltime
        given = (work.get("resources") or {}).get("seconds")
        if "walltime" in work or not rule.model or work["attempt"] > 1:
            return None if given is None else int(given)
        why = self._wall_times.why_not(rule.model)
        try:
            features = {} if why else self.plugins.call("foresee", held.program, held.folder)["features"]
        except PluginFailed as error:
            self._root.check_writable()
            why = plain_text(f"its features are not known: {error}")
        found = kept(rule.model, given, why) if why else self._wall_times.ask(rule, features, given)
        resources = {**(work.get("resources") or {}), "seconds": found["seconds"]}
        write_json(held.folder / "step.json", {**work, "resources": resources, "walltime": found})
        return None if found["seconds"] is None else int(found["seconds"])

    def _compare_version(self, program: str, version: str) -> None:
        """Say so if a program was upgraded since the agent told the server about it."""
        before = self.versions.get(program, version)
        if version != before:
            text = (
                f"{program} is version {version} now, and was {before} when this agent started: start the agent again"
            )
            self._messages.say_once(f"version of {program}", f"{text}, so that the server knows its parameters")

    def _planned(self, held: HeldStep) -> dict[str, Any] | None:
        try:
            return self.plugins.call("prepare", held.program, held.folder)
        except PluginFailed as error:
            self._root.check_writable()  # a full disk is not the step's fault
            self._end(held, "failed", f"it can't be prepared: {error}")
            return None

    def _permit(self, held: HeldStep) -> None:
        try:
            self._calls.permit(held.step, held.fence, _told(held))
        except Superseded as error:
            self.drop(held, str(error))
            return
        self._ledger.change(held, phase=PERMITTED)

    def _submit(self, held: HeldStep) -> None:
        _write(self._root.fence_file(held.step), f"{held.fence}\n")
        work = read_json(held.folder / "step.json")
        wanted = work.get("resources") or {}
        resources = Resources(int(wanted.get("nodes") or 1), int(wanted.get("processes") or 1), held.limit)
        held.absent_since = None
        self._ledger.change(held, phase=SUBMITTING, submissions=held.submissions + 1)
        try:
            number = self._queue.submit(
                held.job(self._calls.address), held.folder / SCRIPT, held.folder / SCHEDULER_OUTPUT, resources
            )
        except QueueFailed as error:
            # The queue may have the job all the same: it is looked for by name and fence.
            self._messages.say(f"step {held.step} was submitted, with an error: {error}", held.step, "warning")
            self._ledger.change(held, trouble=plain_text(str(error)))
            return
        self._ledger.change(held, report="queued", phase=SUBMITTED, number=number, trouble="")

    def _settle(self, held: HeldStep) -> None:
        outcome = held.outcome
        word = outcome.get("word", "")
        if not word and (outcome.get("signal") or outcome.get("exit_code")):
            word = self._queue.ending(held.number)
        word = word if word.startswith(BY_THE_SITE) else ""
        reason = f"its job was ended by the batch system: {word}" if word else outcome.get("reason", "")
        if not word and outcome.get("exit_code") != 0 and _ran_out_of_memory(held.folder):
            reason = "its job was ended by the batch system: it exceeded its memory"
        if not outcome.get("begun", True):
            state = "cancelled" if held.cancel or word.startswith(CANCELLED) else "failed"
            self._end(held, state, reason or "its job never began")
            return
        try:
            found = self.plugins.call("settle", held.program, held.folder, outcome={"exit_code": None, **outcome})
        except PluginFailed as error:
            self._root.check_writable()
            self._end(held, "failed", "; ".join(filter(None, [f"it can't be validated: {error}", reason])))
            return
        state = found["state"]
        if state != "done" and (held.cancel or word.startswith(CANCELLED)):
            state, found["next"] = "cancelled", None
            reason = "cancelled, as was asked for" if held.cancel else reason
        told = (
            found["reason"] if state in ("done", "unconverged") else "; ".join(filter(None, [found["reason"], reason]))
        )
        prepared = (read_json(held.folder / "prepare.json") or {}).get("version", found["version"])
        if prepared != found["version"]:
            told = "; ".join(
                filter(None, [told, f"prepared by version {prepared}, read by version {found['version']}"])
            )
        analyses = self._analysed(held) if state == "done" else []
        if state == "done":
            for one in found["observations"]:
                self._keep_observation(held, one)
        self._end(held, state, told, found, analyses)

    def _analysed(self, held: HeldStep) -> list[dict[str, Any]]:
        names = read_json(held.folder / "step.json").get("analyses") or []
        if not names:
            return []
        try:
            return list(self.plugins.call("analyse", held.program, held.folder)["analyses"])
        except PluginFailed as error:
            self._root.check_writable()
            empty: dict[str, Any] = {"values": {}, "tables": {}, "declared": []}
            return [{"name": name, "state": "failed", "reason": plain_text(str(error)), **empty} for name in names]

    def _keep_observation(self, held: HeldStep, one: dict[str, Any]) -> None:
        """Keep an observation in the spool. Its key names the step, not the attempt, so that it is learned once."""
        observation = {"x": one["x"], "y": one["y"], "key": f"{held.step}/{one['key_suffix']}"}
        source = {**one["source"], "step": held.step, "program": held.program, "unit": one["unit"]}
        self._spool.put(one["stream"], {**observation, "source": source}, self._calls.server)
        self.undelivered = True

    def _end(
        self,
        held: HeldStep,
        state: str,
        reason: str,
        found: dict[str, Any] | None = None,
        analyses: list[dict[str, Any]] | None = None,
    ) -> None:
        """Write the results, and record the final state."""
        self._write_results(held, state, reason, found or {}, analyses or [])
        self._ledger.change(held, phase=SETTLED, state=state)

    def _write_results(
        self,
        held: HeldStep,
        state: str,
        reason: str,
        found: Mapping[str, Any] = MappingProxyType({}),
        analyses: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        outcome = held.outcome
        body = {
            "fence": held.fence,
            "state": state,
            "reason": plain_text(reason),
            "exit_code": outcome.get("exit_code"),
            "values": found.get("values", {}) if state == "done" else {},
            "tables": found.get("tables", {}) if state == "done" else {},
            "report": plain_lines(found.get("report", "")) if state == "done" else "",
            "files": self._allowed(held, found.get("declared", [])),
            "kept": found.get("kept", []),
            "analyses": [
                {
                    **{name: one[name] for name in ("name", "state", "reason", "values", "tables")},
                    "report": plain_lines(one.get("report", "")),
                    "files": self._allowed(held, one["declared"]),
                }
                for one in analyses
            ],
            "began": outcome.get("began"),
            "ended": outcome.get("ended"),
            "job": held.number.partition(";")[0],
            "host": outcome.get("host", ""),
            "next": found.get("next"),
        }
        write_json(held.folder / "results.json", body)
        self._messages.say(f"step {held.step}, fence {held.fence}: {state}{f': {reason}' if reason else ''}", held.step)

    def _allowed(self, held: HeldStep, declared: list[dict[str, Any]]) -> list[dict[str, Any]]:
        limit = int(self.settings.get("file_limit") or FILE_LIMIT)
        for one in declared:
            if one["size"] > limit:
                self._messages.say(
                    f"{one['name']} of step {held.step} has {one['size']} bytes, more than the server takes: it stays here",
                    held.step,
                    "warning",
                )
        return [one for one in declared if one["size"] <= limit]

    def _report(self, held: HeldStep) -> None:
        body = read_json(held.folder / "results.json")
        try:
            answer = self._calls.results(held.step, body)
        except Superseded as error:
            self._messages.say(f"step {held.step}: the server does not take its results: {error}", held.step, "warning")
            self._ledger.change(held, phase=CLOSED, reports=[])
            return
        except Refused as error:
            if not error.for_good or body["reason"].startswith("the server refused"):
                raise
            self._end(held, "failed", f"the server refused the results: {error}")
            held.retry_at = time.monotonic() + 1
            return
        declared = [*body["files"], *(one for analysis in body["analyses"] for one in analysis["files"])]
        missing = set(answer.get("missing") or ())
        for one in declared:
            if one["sha256"] in missing:
                content = _content(held.folder, one["name"])
                if content is not None and len(content) == one["size"]:
                    self._calls.put_file(held.step, held.fence, one["name"], content, one["sha256"])
        while not self.send_log(held, ended=True):
            pass
        self._ledger.change(held, phase=CLOSED, reports=[])


def _told(held: HeldStep) -> dict[str, Any]:
    """Returns what the server is told about a job before it is submitted."""
    work, prepared = read_json(held.folder / "step.json") or {}, read_json(held.folder / "prepare.json") or {}
    told = {"version": prepared.get("version"), "walltime": work.get("walltime")}
    return {name: value for name, value in told.items() if value is not None}


def _ran_out_of_memory(folder: Path) -> bool:
    """Whether the batch system wrote so into the job's output. Slurm without cgroups has no state for it."""
    try:
        return EXCEEDED in tail(folder / SCHEDULER_OUTPUT)
    except OSError:
        return False


def _content(folder: Path, name: str) -> bytes | None:
    """Returns the content of a file in the folder; None if it is gone, or a link has taken its place."""
    path = folder / name
    if "/" in name or path.is_symlink():
        return None
    with contextlib.suppress(OSError):
        return path.read_bytes()
    return None


def _write(path: Path, text: str) -> None:
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8")
