"""Calls and durations of learn and predict, per model: counted in memory that all processes of a machine share.

Each process writes its own file, mapped into memory, so that counting costs no system call and no lock between
processes; whoever is asked adds up all files. Counting outlives a crash (the pages belong to the kernel) and a restart.
"""

import mmap
import os
import struct
import threading
from pathlib import Path
from typing import Any

from django.conf import settings

ROW = struct.Struct("<q q d d q d d")
"""Model id; then for predict and for learn: calls, mean duration in ns, exponentially weighted duration in ns."""

ROWS = 1024
EWM_SHARE = 0.3
"""Weight of the newest duration, as in django-river-ml."""

PREDICT, LEARN = 0, 3


class Counter:
    """This process's file of rows, one a model."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.path = directory / f"{os.getpid()}-{os.urandom(4).hex()}.stats"
        self._lock = threading.Lock()
        self._offsets: dict[int, int] = {}
        self._size = ROWS
        self._map = self._mapped()

    def _mapped(self) -> mmap.mmap:
        with open(self.path, "a+b") as file:
            file.truncate(self._size * ROW.size)
            return mmap.mmap(file.fileno(), 0)

    def count(self, model_id: int, kind: int, duration: int) -> None:
        """Add one accepted call of ``duration`` nanoseconds."""
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
            self._map.flush()
            self._map = self._mapped()
        offset = self._offsets[model_id] = len(self._offsets) * ROW.size
        ROW.pack_into(self._map, offset, model_id, 0, 0.0, 0.0, 0, 0.0, 0.0)
        return offset


_counter: Counter | None = None
_counter_pid = 0


def _own() -> Counter:
    global _counter, _counter_pid
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
    """The calls of all processes of this machine, in the shape of django-river-ml."""
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
    """Nanoseconds as a person reads them: ``1ms23μs456ns``."""
    if ns == 0:
        return "0ns"
    parts = []
    for unit, size in (("m", 60 * 10**9), ("s", 10**9), ("ms", 10**6), ("μs", 10**3), ("ns", 1)):
        whole, ns = divmod(ns, size)
        if whole:
            parts.append(f"{whole}{unit}")
    return "".join(parts)
