"""`RunWriter`: the file of lines of one process, and the jobs that send it."""

from __future__ import annotations

import os
import threading
import time

from tailrace.errors import TailraceError
from tailrace.tracking import background, handover
from tailrace.tracking.background import Job
from tailrace.tracking.claims import Claim
from tailrace.tracking.delivery import Delivery
from tailrace.tracking.lines import json_line
from tailrace.tracking.spool_directory import LINES, SpooledFile, orphans, remove_if_sent
from tailrace.tracking.spool_file import SpoolFile
from tailrace.tracking.status import BackendStatus, RunStatus

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from tailrace.tracking.backends import Backend
    from tailrace.tracking.calls import Problems

__all__ = ["RunWriter"]

_opening = threading.RLock()
"""Held while a process opens its file."""


def _after_fork() -> None:
    global _opening
    _opening = threading.RLock()  # a thread of the parent may have held the former one


os.register_at_fork(after_in_child=_after_fork)


class RunWriter:
    """Appends lines of a run to a file of this process. A process that is forked gets a file of its own.

    Parameters
    ----------
    uid
        Identifier of the run.
    header
        What the run is: the first line of each file.
    backends
        Where lines are sent.
    place
        The spool.
    """

    def __init__(self, uid: str, header: Mapping[str, Any], backends: Sequence[Backend], place: str) -> None:
        self.directory = os.path.join(place, uid)
        self._header = dict(header)
        self._backends = list(backends)
        self._wakers: list[Callable[[], None]] = []
        self._jobs: list[Job] = []
        self._process = -1
        self._ended = False
        handover.prepare()
        self._open(main=True)

    def append(self, data: bytes) -> None:
        """Append one line."""
        if os.getpid() != self._process:
            self._open(main=False)
        self.lines += 1
        self._file.append(data)

    def end(self, wait: float) -> None:
        """End the file, wait for what is sent within some seconds, and leave the rest to the background."""
        if os.getpid() != self._process:
            return
        self._ended = True
        for job in self._jobs:
            job.ended = True
        self._file.write_pending()
        self._alive.give_up()
        self._wake()
        self._wait(wait)
        background.forget_file(self._file)
        if self._file.on_disk:
            self._file.close()
        handover.at_exit(self.release)

    def flush(self, timeout: float) -> bool:
        """Wait until everything is sent, at most some seconds. Returns whether it is."""
        ends = time.monotonic() + timeout
        while not (sent := self._all_sent()) and time.monotonic() < ends:
            self._wake()
            time.sleep(0.01)
        return sent

    def release(self) -> SpooledFile | None:
        """Stop sending in this process. Returns the file, if something is left of it or of processes that were forked."""
        if os.getpid() != self._process or (self._all_sent() and not orphans(self.directory, self._spooled.path)):
            return None
        for job in self._jobs:
            job.claim.give_up()
        return self._spooled

    def status(self, problems: Problems) -> RunStatus:
        """Returns what became of the lines."""
        found = []
        for job in self._jobs:
            cursor = job.delivery.cursor
            kept = max(0, self.lines - cursor.next)
            found.append(
                BackendStatus(
                    job.delivery.backend.kind, job.delivery.backend.address, cursor.sent, kept, len(cursor.uploads),
                    cursor.refused, tuple(cursor.reasons), job.delivery.trouble, job.delivery.where(),
                )
            )  # fmt: skip
        found += map(self._status_of_helper, self._helped)
        return RunStatus(
            self._header["uid"], tuple(found), self.lines, problems.count, tuple(problems.reasons),
            self._file.dropped, self._file.trouble, self.directory,
        )  # fmt: skip

    def _open(self, *, main: bool) -> None:
        """Make the file of this process, and begin to send it."""
        with _opening:
            if os.getpid() == self._process:
                return
            self.lines = 0
            writer = f"w{os.urandom(8).hex()}"
            path = os.path.join(self.directory, f"{writer}{LINES}")
            header = {
                **self._header, "writer": writer, "main": main, "host": os.uname().nodename, "process": os.getpid(),
                "backends": [one.as_json() for one in self._backends],
            }  # fmt: skip
            line = json_line(header)
            self._file = SpoolFile(path)
            self._file.append(line)
            self._spooled = SpooledFile(path, header, len(line), self._backends)
            self._alive = Claim(f"{path[: -len(LINES)]}.claim")
            _take(self._alive)
            self._jobs, self._wakers, self._helped = [], [], []
            self._process = os.getpid()
            background.keep_file(self._file, self._alive)
            for backend in self._backends:
                if backend.kind == "wandb":
                    self._helped.append(backend)
                else:
                    self._add_job(backend, header, len(line))
            if self._helped:
                handover.start_helper(self._spooled, self._helped, follow=True)

    def _add_job(self, backend: Backend, header: Mapping[str, Any], size: int) -> None:
        delivery = Delivery(self._file, header, size, backend, self._spooled.cursor_path(backend), fresh=True)
        claim = self._spooled.claim_of(backend)
        _take(claim)
        interval = background.interval_for(int(header.get("ranks", 1)))
        job = Job(self._file, delivery, claim, self._alive, interval, self._sent)
        self._jobs.append(job)
        self._wakers.append(background.add_job(job))

    def _sent(self) -> None:
        """A back end has everything: delete the file if all have."""
        try:
            remove_if_sent(self._spooled)
        except (OSError, TailraceError):
            pass

    def _wake(self) -> None:
        for wake in self._wakers:
            wake()

    def _wait(self, seconds: float) -> None:
        ends = time.monotonic() + seconds
        for job in self._jobs:
            job.complete.wait(max(0.0, ends - time.monotonic()))

    def _all_sent(self) -> bool:
        if self._ended:
            return all(job.complete.is_set() for job in self._jobs)
        size = self._file.size
        return all(job.delivery.done and job.delivery.cursor.offset >= size for job in self._jobs)

    def _status_of_helper(self, backend: Backend) -> BackendStatus:
        from tailrace.tracking.cursor import Cursor

        cursor = Cursor.load(self._spooled.cursor_path(backend))
        if cursor is None:
            why = "" if os.path.exists(self._spooled.path) else "everything was sent, and its file was deleted"
            kept = self.lines if not why else 0
            return BackendStatus(backend.kind, backend.address, self.lines - kept, kept, where=why)
        return BackendStatus(
            backend.kind, backend.address, cursor.sent, max(0, self.lines - cursor.next), len(cursor.uploads), cursor.refused,
            tuple(cursor.reasons), str(cursor.state.get("trouble", "")), str(cursor.state.get("where", "")),
        )  # fmt: skip


def _take(claim: Claim) -> None:
    try:
        claim.take()
    except OSError:
        pass  # a spool that cannot be written is not seen by others, either
