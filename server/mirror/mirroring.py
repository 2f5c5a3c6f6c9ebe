"""Mirrors one fold of a model: its metrics into a run, and its state into versions of a registered model."""

import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tailrace.tracking.backends import Backend
from tailrace.tracking.files import ArtifactLost
from tailrace.tracking.lines import json_line
from tailrace.tracking.senders.base import Sender
from tailrace.tracking.senders.wandb import WandbSender

from server.learning import verification
from server.learning.fold import replay
from server.learning.fold.snapshots import VERSIONS
from server.learning.frozen_copies import MODEL_FIELDS, STREAM_FIELDS, Frozen
from server.mirror import bundle, series, versions
from server.mirror.folds import Fold
from server.mirror.positions import Store
from server.mirror.series import Series
from server.mirror.targets import PacedSender, Requests
from server.mirror.versions import Registry
from server.notifications import links

AFTER = 1000
"""Observations after which a version is registered, if no number was asked for."""

Report = Callable[[int, int], None]


@dataclass(frozen=True)
class Wishes:
    """What is mirrored.

    Attributes
    ----------
    every
        Observations from one point of a metric to the next.
    snapshot_every
        A version is registered after each observation whose number is a multiple of this; None: after the latest only.
    prefix
        Of the names of experiments and registered models.
    is_once
        Whether to register the latest state at the end.
    """

    every: int = 1
    snapshot_every: int | None = None
    prefix: str = ""
    is_once: bool = False


@dataclass
class Outcome:
    """What a pass did for one fold.

    Attributes
    ----------
    lines
        Positions of the log whose metrics were sent.
    made
        Versions that were registered, as ``number (at observation)``.
    stale
        Numbers of versions that were found stale.
    troubles
        What can't be mirrored, though the rest is.
    """

    lines: int
    made: list[str]
    stale: list[str]
    troubles: list[str]


class Mirroring:
    """Mirrors one fold into one target, and goes on where it was.

    Parameters
    ----------
    fold
        What to mirror.
    backend
        The target.
    requests
        To the target, if it is an MLflow server.
    store
        Keeps the position.
    wishes
        What to mirror of it.
    """

    def __init__(self, fold: Fold, backend: Backend, requests: Requests | None, store: Store, wishes: Wishes) -> None:
        self.fold = fold
        self._store = store
        self._wishes = wishes
        self.position = store.load(fold.uid)
        self._requests = requests
        self._series: Series | None = None
        self._sender: Sender = self._sender_to(backend)
        self._is_open = False
        self._is_claimed = False

    def _sender_to(self, backend: Backend) -> Sender:
        model = self.fold.model
        header = {
            "experiment": f"{self._wishes.prefix}{model.stream.name}",
            "uid": self._uid,
            "name": model.name,
            "started_ms": self.fold.started_ms,
            "user": model.created_by,
            "writer": "mirror",
            "main": True,
        }
        given = (header, self.position.state, False, str(self._store.folder_of(self._uid)))
        if self._requests is not None:
            return PacedSender(self._requests, *given)
        self.position.at = None  # nothing counts as sent before W&B's run has ended: see its sender
        self.position.state["finished"] = False
        return WandbSender(backend, *given)

    @property
    def _uid(self) -> str:
        """Identifies the run at the target. Rows of W&B are counted, so another spacing of them is another run."""
        every = self._wishes.every
        return self.fold.uid if self._requests is not None or every == 1 else f"{self.fold.uid}-every-{every}"

    def renew(self, fold: Fold) -> None:
        """Take over what the database says now of the same fold."""
        self.fold = fold

    @property
    def where(self) -> str:
        """Where a person finds the run."""
        return self._sender.where()

    def drop(self) -> None:
        """Give back the memory of the replica. It is loaded again when it is needed."""
        self._series = None

    def run(self, report: Report) -> Outcome:
        """Send what the target doesn't have yet.

        Parameters
        ----------
        report
            Called with the observation reached, and the last one.

        Raises
        ------
        Refused, Unreachable
            If the target can't be reached, or refuses. The next call goes on where this one was.
        Conflict, Gone
            If the name is taken there, or the log no longer has what is needed.
        """
        outcome = Outcome(0, [], [], [])
        model = self.fold.model
        upto = verification.last_learned(model, model.stream.head)
        self._open(outcome)
        assert self.position.at is not None
        if self.position.owed is not None and self._requests is not None:
            self._register(self.position.owed, outcome)
        if upto > self.position.at:
            self._advance(upto, report, outcome)
        if self._requests is not None:
            self._look_for_stale(outcome)
            if self._wishes.is_once and self.position.version_at != upto:
                self._register(upto, outcome)
        return outcome

    def finish(self) -> None:
        """End a run of W&B, which keeps its last lines in memory."""
        if self._is_open:
            self._sender.finish()
            self._save()

    def _open(self, outcome: Outcome) -> None:
        if self._is_open:
            return
        self._sender.start()
        self._send_lines(0, [*series.described(self.fold.model), self._tags()], outcome)
        if self.position.at is None:
            self.position.at, self.position.lines = self._last_sent(), 0
            self._supersede()
        self._save()
        self._is_open = True

    def _supersede(self) -> None:
        """Say at the target that the runs of earlier folds have ended, since the model was rebuilt."""
        if self._requests is None:
            return
        for uid in self.fold.earlier:
            run = self._store.load(uid).state.get("run_id")
            if run is None:
                continue
            why = f"the model was rebuilt: run {self.position.state['run_id']} continues"
            self._requests.post("runs/set-tag", {"run_id": run, "key": "tailrace.superseded", "value": why})
            now = int(time.time() * 1000)
            self._requests.post("runs/update", {"run_id": run, "status": "FINISHED", "end_time": now})

    def _tags(self) -> bytes:
        model = self.fold.model
        tags = {
            "tailrace.stream": model.stream.name,
            "tailrace.model": model.name,
            "tailrace.generation": str(model.generation),
            "tailrace.url": links.absolute(f"/models/{model.name}/"),
            Registry.TAG: self.fold.model_uid,
        }
        return json_line({"kind": "tags", "values": tags}).rstrip()

    def _last_sent(self) -> int:
        """Return the last observation whose metrics the target certainly has, if this process doesn't know it."""
        model = self.fold.model
        begin = max(model.since, model.stream.whole_after)
        if self._requests is None:
            return begin
        run = self._requests.get("runs/get", run_id=self.position.state["run_id"]).get("run", {})
        steps = [int(one.get("step", 0)) for one in run.get("data", {}).get("metrics", ())]
        # The metrics of the last one may have come in part: they are compared.
        return max(begin, max(steps, default=0) - 1)

    def _advance(self, upto: int, report: Report, outcome: Outcome) -> None:
        found = self._series_at(self.position.at or 0)
        while found.replica.n < upto:
            goal = min(upto, self._next_version(found.replica.n) or upto)
            waiting: list[bytes] = []
            for n, lines in found.lines(goal):
                waiting += lines
                if len(waiting) >= self._sender.most_lines:
                    self._deliver(waiting, n, outcome)
                    waiting = []
                report(n, upto)
            is_due = self._requests is not None and self._is_due(goal, upto)
            self._deliver(waiting, goal, outcome, owed=goal if is_due else None)
            if is_due:
                self._register(goal, outcome)

    def _series_at(self, at: int) -> Series:
        if self._series is None or self._series.replica.n != at:
            self._series = None
            self._series = Series(self.fold.model, at, self._wishes.every, self.position.fingerprint)
        else:
            self._series.refresh(self.fold.model)
        return self._series

    def _next_version(self, n: int) -> int | None:
        every = self._wishes.snapshot_every
        return (n // every + 1) * every if every else None

    def _is_due(self, at: int, upto: int) -> bool:
        every = self._wishes.snapshot_every
        if every:
            return at % every == 0
        made = self.position.version_at
        return every is None and at == upto and not self._wishes.is_once and (made is None or at >= made + AFTER)

    def _deliver(self, lines: list[bytes], n: int, outcome: Outcome, owed: int | None = None) -> None:
        try:
            self._send_lines(self.position.lines, lines, outcome)
        except BaseException:
            self._series = None  # it is ahead of what was sent
            raise
        self.position.lines += len(lines)
        outcome.lines += len(lines)
        self.position.at, self.position.owed = n, owed
        assert self._series is not None
        self.position.fingerprint = self._series.fingerprint
        self._save()

    def _send_lines(self, first: int, lines: list[bytes], outcome: Outcome) -> None:
        for low in range(0, len(lines), self._sender.most_lines):
            sent = self._sender.send(first + low, lines[low : low + self._sender.most_lines])
            outcome.troubles += sent.refused

    def _register(self, at: int, outcome: Outcome) -> None:
        """Register the state after an observation, unless it is registered already, and make the newest version live."""
        registry = self._registry()
        known = registry.versions()
        own = next((one for one in known if one.tags.get("tailrace.fold") == self.fold.uid and one.at == at), None)
        number = own.number if own is not None else ""
        if not number:
            try:
                number = self._add(registry, at)
            except ArtifactLost as exc:
                outcome.troubles.append(f"no version of {registry.name} can be registered: {exc}")
                self.position.version_at, self.position.owed = at, None
                return
            outcome.made.append(f"{number} (at {at})")
        self.position.version_at, self.position.owed = at, None
        # A rebuilt model registers its past again: until it has caught up, the alias stays where it was.
        if number != self.position.live and all((one.at, int(one.number)) <= (at, int(number)) for one in known):
            registry.make_live(number)
            self.position.live = number
        self._save()

    def _registry(self) -> Registry:
        assert self._requests is not None
        model = self.fold.model
        registry = Registry(self._requests, f"{self._wishes.prefix}{model.name}", self.fold.model_uid)
        if not self._is_claimed:
            registry.claim(f"Mirror of model {model.name} of stream {model.stream.name}, as it learns.")
            self._is_claimed = True
        return registry

    def _add(self, registry: Registry, at: int) -> str:
        found = self._series_at(at)
        model, replica = self.fold.model, found.replica
        frozen = Frozen(
            {name: getattr(model.stream, name) for name in STREAM_FIELDS},
            {name: getattr(model, name) for name in MODEL_FIELDS},
            at,
            VERSIONS,
            bytes(model.initial),
            replay.dump(replica),
        )
        about: dict[str, Any] = {
            "stream": model.stream.name,
            "model": model.name,
            "at": at,
            "n": replica.learned,
            "fold": self.fold.uid,
            "generation": model.generation,
            "retraction": model.retraction,
            "fingerprint": found.fingerprint.digest if found.fingerprint.at == at else "",
            "commit": commit(),
            "url": links.absolute(f"/models/{model.name}/"),
        }
        path = f"model-{at}"
        made = bundle.files(
            frozen,
            about,
            path=path,
            run=str(self.position.state["run_id"]),
            uuid=versions.version_uuid(self.fold.uid, at),
        )
        tags = {f"tailrace.{name}": str(value) for name, value in about.items() if value != ""}
        if why := versions.why_stale(model, at, model.retraction):
            tags[versions.STALE] = why
        return registry.add(
            made,
            tags,
            state=self.position.state,
            path=path,
            description=f"After observation {at} of {model.stream.name}.",
        )

    def _look_for_stale(self, outcome: Outcome) -> None:
        """Tag the versions that were built on an observation which was retracted later."""
        newest = versions.newest_retraction(self.fold.model.stream_id)
        if newest == 0 or newest == self.position.checked:
            return
        registry = self._registry()
        for one in registry.versions():
            why = versions.why_stale(self.fold.model, one.at, one.retraction)
            if why and versions.STALE not in one.tags:
                registry.mark_stale(one, why)
                outcome.stale.append(one.number)
        self.position.checked = newest
        self._save()

    def _save(self) -> None:
        self._store.save(self.fold.uid, self.position)


@cache
def commit() -> str:
    """Return the Git commit of this server's files; empty if they are in no repository, as in an image."""
    root = Path(__file__).parents[2]
    try:
        done = subprocess.run(
            ["git", "-C", str(root), "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
