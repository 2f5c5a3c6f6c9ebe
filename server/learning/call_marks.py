"""Which estimator each thread of this process is in, written where a supervisor sees it.

Before a thread enters an estimator it marks the call: the model, what is asked of it, and a number that no other call has. The
marks are in a file that is mapped into memory, so that the supervisor (:mod:`server.supervisor`) reads them whatever this process
does, and after it has died. Marking a call costs two stores into memory, and no system call.
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

LEARN, PREDICT, REPLAY, STORE, LOAD, LOOK = range(1, 7)
"""Kinds of calls."""

KINDS = {
    LEARN: "learn", PREDICT: "predict", REPLAY: "replay", STORE: "store", LOAD: "load", LOOK: "look",
}  # fmt: skip

CODE, SEQ, THREAD, IDENT = range(4)
"""Words of a row: the call (0: in none), the observation that a fold is at, and the thread whose row it is, by the kernel's
number and by Python's."""

_KIND_BITS, _SERIAL_BITS = 4, 12
serials = itertools.cycle([serial << _KIND_BITS for serial in range(1 << _SERIAL_BITS)])
"""What is added to :func:`code_of`, so that two calls that follow each other differ."""

STACK_BYTES = 2**16
MAGIC = b"tailrace calls 1"
ENDING, FAULT = "calls", "fault"
"""Endings of a process's file of marks, and of the file that says what it died of."""

ROWS = 512
_HEADER = struct.Struct("16sqqq")
_ROW = 4 * 8
_FIRST_ROW = 64
LENGTH = _FIRST_ROW + ROWS * _ROW
_VERDICTS = 3
"""Index of the word that the supervisor counts its verdicts in."""


class Mark(NamedTuple):
    """A call that a thread is in."""

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
    """The word of a call; :data:`serials` are added to it."""
    return model_id << _KIND_BITS + _SERIAL_BITS | kind


class Supervised:
    """Which process watches over the calls of those that it forks; 0: none does."""

    by = 0


class _Process:
    """Where this process's marks are: memory of its own, until :func:`begin` gives it a file."""

    memory: Any = mmap.mmap(-1, LENGTH)
    words: Any = memoryview(memory).cast("q")
    path: Path | None = None
    fault: BinaryIO | None = None
    lock = threading.Lock()
    used: set[int] = set()


class _Row:
    """A row of this thread's own, given back when the thread ends."""

    def __init__(self) -> None:
        self._used = _Process.used
        with _Process.lock:
            free = (number for number in range(ROWS - 1) if number not in self._used)
            self.number = next(free, ROWS - 1)  # of more threads than rows the last share one
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
    """Memory for this thread's fault handler, which has none left where the thread's stack overflowed. To be kept."""
    memory = ctypes.create_string_buffer(STACK_BYTES)
    ctypes.CDLL(None).sigaltstack(ctypes.byref(_Stack(ctypes.addressof(memory), 0, STACK_BYTES)), None)
    return memory


class _Local(threading.local):
    """The words of this thread's row."""

    words: Any

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Give this thread a row of where the marks of this process are now."""
        self._row = _Row()
        self.words = self._row.words


local = _Local()


@contextlib.contextmanager
def inside(model_id: int, kind: int, seq: int = 0) -> Iterator[None]:
    """Mark a call of a model that isn't one of many. The hot paths do the same in place."""
    words = local.words
    before = words[CODE]
    words[SEQ] = seq
    words[CODE] = code_of(model_id, kind) + next(serials)
    try:
        yield
    finally:
        words[CODE] = before


def begin(directory: Path) -> None:
    """Keep this process's marks in a file, where its supervisor looks; once, before any other thread marks a call.

    Parameters
    ----------
    directory
        Of the marks of all processes of the server.

    Raises
    ------
    OSError
        If there is no room or no right to write there.
    """
    if Supervised.by != os.getppid():
        return
    path = directory / f"{os.getpid()}-{os.urandom(4).hex()}.{ENDING}"
    directory.mkdir(parents=True, exist_ok=True)
    file = os.open(path.with_suffix(".new"), os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(file, 0, LENGTH)  # not a hole: writing to one kills the process on a full disk
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
    """In a process that was forked from this one: mark calls in memory of its own."""
    _Process.memory = mmap.mmap(-1, LENGTH)
    _Process.words, _Process.path, _Process.used = memoryview(_Process.memory).cast("q"), None, set()
    _Process.lock = threading.Lock()
    local.renew()


def verdicts() -> int:
    """How many verdicts the supervisor has given over calls of this server, as far as this process was told."""
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
            raise ValueError(f"{path} holds no marks of calls of this version")
        self._words = memoryview(self._memory).cast("q")

    def running(self) -> list[Mark]:
        """The calls that the process's threads are in."""
        found = []
        first = _FIRST_ROW // 8
        codes = self._words[first::4].tolist()
        for row, code in enumerate(codes if any(codes) else ()):
            if code:
                start = first + row * 4
                found.append(Mark(row, code, *self._words[start + SEQ : start + IDENT + 1]))
        return found

    def tell(self, count: int) -> None:
        """Tell the process how many verdicts there are."""
        self._words[_VERDICTS] = count

    def close(self) -> None:
        self._words.release()
        self._memory.close()
