"""Call statistics: numbers and durations of learn and predict calls per model, summed over all processes of a machine.

Each process has its own file, mapped into memory, so that counting needs no system call and no lock between processes. Reading
sums all files. The counts survive a crash (the kernel has the pages) and a restart: a new process continues the file of a
process that has ended, so there are never more files than processes at a time.

:mod:`server.core.metrics.shared_counters` is built for metrics and doesn't fit here. A file there holds 2,048 names, and a
model needs six numbers, so 341 models would fill it; here a file grows with the number of models. Also, all counters there
are floating-point sums, while a mean and an exponentially weighted mean change together with their number of calls.
"""

import logging
import mmap
import os
import struct
import threading
from pathlib import Path
from typing import Any, BinaryIO

from django.conf import settings

from server.core.process_files import claim_file

logger = logging.getLogger(__name__)

ROW = struct.Struct("<q q d d q d d")
"""Model id; then for predict and for learn: calls, mean duration in ns, exponentially weighted duration in ns."""

ROWS = 1024
EWM_SHARE = 0.3
"""Weight of the newest duration, as in django-river-ml."""

PREDICT, LEARN = 0, 3


class Counter:
    """This process's file, with one row for each model. If the disk is full, the process counts in private memory."""

    def __init__(self, directory: Path) -> None:
        self._lock = threading.Lock()
        self._offsets: dict[int, int] = {}
        self._size = ROWS
        self._file: BinaryIO | None = None
        try:
            self._file = claim_file(directory, "stats")
        except OSError as exc:
            logger.warning("no file for statistics in %s: %s", directory, exc)
        if self._file is not None:
            self._size = max(ROWS, os.fstat(self._file.fileno()).st_size // ROW.size)
        self._map = self._mapped()
        for index in range(self._size):
            model_id = ROW.unpack_from(self._map, index * ROW.size)[0]
            if not model_id:
                break
            self._offsets[model_id] = index * ROW.size

    def _mapped(self) -> mmap.mmap:
        length = self._size * ROW.size
        if self._file is not None:
            try:
                # On a full disk, writing to a hole would kill the process.
                os.posix_fallocate(self._file.fileno(), 0, length)
                return mmap.mmap(self._file.fileno(), length)
            except OSError as exc:
                logger.warning("no room for statistics in %s: %s", self._file.name, exc)
        return mmap.mmap(-1, length)

    def count(self, model_id: int, kind: int, duration: int) -> None:
        """Count one accepted call of ``duration`` nanoseconds."""
        with self._lock:
            offset = self._offsets.get(model_id)
            if offset is None:
                offset = self._new_row(model_id)
            row = list(ROW.unpack_from(self._map, offset))
            calls = row[1 + kind] = row[1 + kind] + 1
            row[2 + kind] += (duration - row[2 + kind]) / calls
            row[3 + kind] = duration if calls == 1 else (1 - EWM_SHARE) * row[3 + kind] + EWM_SHARE * duration
            ROW.pack_into(self._map, offset, *row)

    def _new_row(self, model_id: int) -> int:
        if len(self._offsets) >= self._size:
            self._size *= 2
            old, self._map = self._map, self._mapped()
            self._map[: len(old)] = old[:]
        offset = self._offsets[model_id] = len(self._offsets) * ROW.size
        ROW.pack_into(self._map, offset, model_id, 0, 0.0, 0.0, 0, 0.0, 0.0)
        return offset


_counter: Counter | None = None
_counter_pid = 0
_first = threading.Lock()


def _own() -> Counter:
    global _counter, _counter_pid
    if _counter is None or _counter_pid != os.getpid():
        with _first:
            if _counter is None or _counter_pid != os.getpid():
                _counter, _counter_pid = Counter(directory()), os.getpid()
    return _counter


def directory() -> Path:
    return Path(settings.TAILRACE.var_dir) / "stats"


def predicted(model_id: int, duration: int) -> None:
    """Count one accepted predict call of ``duration`` nanoseconds."""
    _own().count(model_id, PREDICT, duration)


def learned(model_id: int, duration: int) -> None:
    """Count one accepted learn call of ``duration`` nanoseconds."""
    _own().count(model_id, LEARN, duration)


def read(model_id: int) -> dict[str, dict[str, Any]]:
    """Return the calls of all processes of this machine, in the form of django-river-ml."""
    rows = []
    for path in directory().glob("*.stats"):
        data = path.read_bytes()
        for offset in range(0, len(data) - ROW.size + 1, ROW.size):
            if struct.unpack_from("<q", data, offset)[0] == model_id:
                rows.append(ROW.unpack_from(data, offset))
                break
    return {"predict": _sum(rows, PREDICT), "learn": _sum(rows, LEARN)}


def _sum(rows: list[tuple[Any, ...]], kind: int) -> dict[str, Any]:
    calls = sum(row[1 + kind] for row in rows)
    mean = int(sum(row[1 + kind] * row[2 + kind] for row in rows) / calls) if calls else 0
    ewm = int(sum(row[1 + kind] * row[3 + kind] for row in rows) / calls) if calls else 0
    return {
        "n_calls": calls,
        "mean_duration": mean,
        "mean_duration_human": human(mean),
        "ewm_duration": ewm,
        "ewm_duration_human": human(ewm),
    }


def human(ns: int) -> str:
    """Return nanoseconds as readable text: ``1ms23μs456ns``."""
    if ns == 0:
        return "0ns"
    parts = []
    for unit, size in (("m", 60 * 10**9), ("s", 10**9), ("ms", 10**6), ("μs", 10**3), ("ns", 1)):
        whole, ns = divmod(ns, size)
        if whole:
            parts.append(f"{whole}{unit}")
    return "".join(parts)
