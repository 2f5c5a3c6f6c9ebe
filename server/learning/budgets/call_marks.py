"""Call marks: the estimator call that each thread is running, in a file that the supervisor reads.

Before a thread calls an estimator, it marks the call: the model, the kind of call, and a serial number. The marks are
in a file that is mapped into memory. So the supervisor (:mod:`server.runtime.supervisor`) can read them while this
process hangs, and after it has died. A mark costs two writes to memory and no system call.
"""

import contextlib
import ctypes
import faulthandler
import itertools
import mmap
import os
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

LEARN, PREDICT, REPLAY, STORE, LOAD, INSPECT = range(1, 7)
"""Kinds of calls."""

KINDS = {
    LEARN: "learn", PREDICT: "predict", REPLAY: "replay", STORE: "store", LOAD: "load", INSPECT: "look",
}  # fmt: skip

CODE, SEQ, THREAD, IDENT = range(4)
"""Words of a row: the call (0: none), the observation's number, and the thread's number in the kernel and in Python."""

_KIND_BITS, _SERIAL_BITS = 4, 12
serials = itertools.cycle([serial << _KIND_BITS for serial in range(1 << _SERIAL_BITS)])
"""Serial numbers, added to :func:`code_of` so that consecutive calls differ."""

STACK_BYTES = 2**16
MAGIC = b"tailrace calls 1"
ENDING, FAULT = "calls", "fault"
"""Suffixes of a process's file of marks, and of the file with its fault handler's output."""

ROWS = 512
_HEADER = struct.Struct("16sqqq")
_ROW = 4 * 8
_FIRST_ROW = 64
LENGTH = _FIRST_ROW + ROWS * _ROW
_VERDICTS = 3
"""Index of the word with the supervisor's number of verdicts."""


class Mark(NamedTuple):
    """A call that a thread is running."""

    row: int
    code: int
    seq: int
    thread: int
    ident: int

    @property
    def model_id(self) -> int:
        return self.code >> _KIND_BITS + _SERIAL_BITS

    @property
    def kind(self) -> int:
        return self.code & (1 << _KIND_BITS) - 1


def code_of(model_id: int, kind: int) -> int:
    """Return the code of a call, without its serial number. Add one of :data:`serials`."""
    return model_id << _KIND_BITS + _SERIAL_BITS | kind


class Supervisor:
    """The process that supervises the calls of its child processes; 0: none."""

    pid = 0


class _Process:
    """The memory of this process's marks: private, until :func:`begin` gives it a file."""

    memory: Any = mmap.mmap(-1, LENGTH)
    words: Any = memoryview(memory).cast("q")
    path: Path | None = None
    fault: BinaryIO | None = None
    lock = threading.Lock()
    used: set[int] = set()


class _Row:
    """A thread's row, which is free again when the thread ends."""

    def __init__(self) -> None:
        self._used = _Process.used
        with _Process.lock:
            free = (number for number in range(ROWS - 1) if number not in self._used)
            self.number = next(free, ROWS - 1)  # if there are more threads than rows, the others share the last row
            self._used.add(self.number)
        start = _FIRST_ROW // 8 + self.number * 4
        self.words = _Process.words[start : start + 4]
        self.words[CODE] = 0
        self.words[THREAD], self.words[IDENT] = threading.get_native_id(), threading.get_ident()
        self._stack = _alternate_stack() if _Process.path is not None else None

    def __del__(self) -> None:
        self._used.discard(self.number)


class _Stack(ctypes.Structure):
    """``stack_t``."""

    _fields_ = (("sp", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


def _alternate_stack() -> Any:
    """Return stack memory for this thread's fault handler, for the case that the thread's stack overflows. Keep a reference."""
    memory = ctypes.create_string_buffer(STACK_BYTES)
    ctypes.CDLL(None).sigaltstack(ctypes.byref(_Stack(ctypes.addressof(memory), 0, STACK_BYTES)), None)
    return memory


class _Local(threading.local):
    """This thread's row."""

    words: Any

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Give this thread a row in the current memory of this process's marks."""
        self._row = _Row()
        self.words = self._row.words


local = _Local()


@contextlib.contextmanager
def mark_call(model_id: int, kind: int, seq: int = 0) -> Iterator[None]:
    """Mark a single call of a model. The hot paths do the same inline."""
    words = local.words
    before = words[CODE]
    words[SEQ] = seq
    words[CODE] = code_of(model_id, kind) + next(serials)
    try:
        yield
    finally:
        words[CODE] = before


def begin(directory: Path) -> None:
    """Move this process's marks to a file for its supervisor. Call once, before any other thread marks a call.

    Parameters
    ----------
    directory
        Directory with the marks of all processes of the server.

    Raises
    ------
    OSError
        If the file can't be written.
    """
    if Supervisor.pid != os.getppid():
        return
    path = directory / f"{os.getpid()}-{os.urandom(4).hex()}.{ENDING}"
    directory.mkdir(parents=True, exist_ok=True)
    file = os.open(path.with_suffix(".new"), os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(file, 0, LENGTH)  # on a full disk, writing to a hole would kill the process
        memory = mmap.mmap(file, LENGTH)
    finally:
        os.close(file)
    memory[: _HEADER.size] = _HEADER.pack(MAGIC, os.getpid(), 0, 0)
    _Process.memory, _Process.words, _Process.path = memory, memoryview(memory).cast("q"), path
    _Process.used = set()
    _Process.fault = open(path.with_suffix(f".{FAULT}"), "wb")  # noqa: SIM115 - it stays open
    faulthandler.enable(_Process.fault)
    local.renew()
    path.with_suffix(".new").rename(path)


def detach() -> None:
    """Use private memory for the marks, in a forked process."""
    _Process.memory = mmap.mmap(-1, LENGTH)
    _Process.words, _Process.path, _Process.used = memoryview(_Process.memory).cast("q"), None, set()
    _Process.lock = threading.Lock()
    local.renew()


def verdict_count() -> int:
    """Return how many verdicts the supervisor has reported to this process."""
    count: int = _Process.words[_VERDICTS]
    return count


class Marks:
    """Another process's marks, as the supervisor reads them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with open(path, "r+b") as file:
            self._memory = mmap.mmap(file.fileno(), LENGTH)
        magic, self.pid, *_ = _HEADER.unpack(self._memory[: _HEADER.size])
        if magic != MAGIC:
            raise ValueError(f"{path} is not a file of call marks of this version")
        self._words = memoryview(self._memory).cast("q")

    def running(self) -> list[Mark]:
        """Return the calls that the process's threads are running."""
        found = []
        first = _FIRST_ROW // 8
        codes = self._words[first::4].tolist()
        for row, code in enumerate(codes if any(codes) else ()):
            if code:
                start = first + row * 4
                found.append(Mark(row, code, *self._words[start + SEQ : start + IDENT + 1]))
        return found

    def report_verdicts(self, count: int) -> None:
        """Report the number of verdicts to the process."""
        self._words[_VERDICTS] = count

    def close(self) -> None:
        self._words.release()
        self._memory.close()
