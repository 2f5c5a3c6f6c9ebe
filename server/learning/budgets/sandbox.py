"""Runs untrusted work in a child process with limits on time and memory.

The child is forked, so it has the caller's data and starts within a millisecond. If it hangs or uses too much memory,
it is killed. The caller then gets an error, as it does if the child crashes.
"""

import ctypes
import gc
import json
import os
import resource
import select
import signal
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from server.core import errors
from server.core.errors import TailraceError, Unavailable
from server.learning.budgets import call_marks
from server.learning.budgets.cpu_usage import CpuWait, budget_share, usage

PATIENCE = 2.0
"""Seconds that a caller waits for a free slot. It is short, because other requests may need the thread."""

PR_SET_PDEATHSIG = 1
_GOOD, _REFUSED, _FAILED, _STEP = b"\0", b"\1", b"\2", b"\3"
_SECONDS = struct.Struct("d")
CHECK_INTERVAL = 50
"""Milliseconds between two checks of a child's time."""

_libc = ctypes.CDLL(None, use_errno=True)
_ERRORS: dict[str, type[TailraceError]] = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, TailraceError) and kind is not errors.TooMany
}


class Exceeded(Exception):
    """The work used too much time or memory, or ended its process. The message starts with "it"."""


class Failed(Exception):
    """The work raised another error. The message is the error's class and text, in one line."""


Step = Callable[[float], None]
"""Function that the work calls before each part, with the seconds that the part may take."""


@contextmanager
def slot() -> Iterator[None]:
    """Hold one of the slots for child processes.

    Raises
    ------
    Unavailable
        If no slot is free within :data:`PATIENCE`.
    """
    if not _Children.room.acquire(timeout=PATIENCE):
        raise Unavailable("the server is testing as many models as it may at once; try again")
    try:
        yield
    finally:
        _Children.room.release()


def run(work: Callable[[Step], bytes], *, seconds: float, megabytes: int) -> bytes:
    """Run a function in a child process and return its result. It takes a slot, and raises what :func:`run_in_slot` raises.

    Raises
    ------
    Unavailable
        If no slot is free within :data:`PATIENCE`.
    """
    with slot():
        return run_in_slot(work, seconds=seconds, megabytes=megabytes)


def run_in_slot(work: Callable[[Step], bytes], *, seconds: float, megabytes: int) -> bytes:
    """Run a function in a child process and return its result. The caller holds a :func:`slot`.

    Parameters
    ----------
    work
        The function. It must not use files, sockets or databases.
    seconds
        Time limit up to its first step (:func:`server.learning.budgets.cpu_usage.budget_share`), s.
    megabytes
        Limit on the growth of the child's memory, MB.

    Raises
    ------
    Exceeded
        If the child exceeded a limit or died.
    TailraceError
        If the work raised one; the message is the same.
    Failed
        If the work raised another error.
    """
    reader, writer = os.pipe()
    parent = os.getpid()
    child = _fork()
    if child == 0:
        _run_child(work, writer, parent, megabytes)
    os.close(writer)
    answer: bytes | None = None
    try:
        answer, seconds = _read(child, reader, seconds)
    finally:
        os.close(reader)
        if answer is None:
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    return _result_of(answer, status, seconds, megabytes)


class _Children:
    """The slots for child processes: few, because a thread of the server waits for each."""

    room = threading.BoundedSemaphore(2)
    forking = threading.Lock()


def _fork() -> int:
    """Fork so that the child never finalizes its parent's objects.

    The parent's database connections are garbage in the child. Closing one could wait forever for a mutex of SQLite
    that another thread of the parent held at the time of the fork.
    """
    with _Children.forking:
        gc.disable()
        try:
            child = os.fork()
            if child == 0:
                gc.freeze()
        finally:
            gc.enable()
    return child


def _read(child: int, reader: int, seconds: float) -> tuple[bytes | None, float]:
    """Return what the child writes, or None if it exceeds its time limit; and the time limit of its last step."""
    poll = select.poll()
    poll.register(reader, select.POLLIN)
    content = bytearray()
    began, cpu, wait = time.monotonic(), 0.0, CpuWait(child)
    while True:
        if poll.poll(CHECK_INTERVAL):
            part = os.read(reader, 2**20)
            if not part:
                return bytes(content), seconds
            content += part
            while content[:1] == _STEP and len(content) > _SECONDS.size:
                (seconds,) = _SECONDS.unpack_from(content, 1)
                del content[: 1 + _SECONDS.size]
                began, cpu, wait = time.monotonic(), usage(child, child).cpu, CpuWait(child)
        if budget_share(seconds, time.monotonic() - began, usage(child, child).cpu - cpu, wait.seconds()) > 1:
            return None, seconds


def _result_of(answer: bytes | None, status: int, seconds: float, megabytes: int) -> bytes:
    if answer is None:
        raise Exceeded(f"it took more than {seconds:g} s")
    kind, content = answer[:1], answer[1:]
    if kind == _GOOD:
        return content
    if kind == _REFUSED:
        refused: dict[str, Any] = json.loads(content)
        raise _ERRORS[refused["kind"]](refused["message"], field=refused["field"], code=refused["code"])
    if kind == _FAILED:
        name, _, message = content.decode().partition(": ")
        if name == "MemoryError":
            raise Exceeded(f"it took more than {megabytes} MB")
        raise Failed(f"{name}: {message}")
    if os.WIFSIGNALED(status):
        raise Exceeded(
            f"it ended its process ({signal.Signals(os.WTERMSIG(status)).name}), or took more than {megabytes} MB"
        )
    raise Exceeded("it ended its process")


def _run_child(work: Callable[[Step], bytes], writer: int, parent: int, megabytes: int) -> NoReturn:
    try:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGABRT, signal.SIGSEGV):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        writer = _close_inherited_files(writer)
        call_marks.detach()
        _limit(megabytes)
        answer = memoryview(_answer(work, lambda seconds: _step(writer, seconds)))
        while answer:
            answer = answer[os.write(writer, answer) :]
    finally:
        os._exit(0)


def _close_inherited_files(writer: int) -> int:
    """Close the parent's connections and files, except the pipe to it. Return the pipe's number."""
    os.dup2(writer, 3)
    os.closerange(4, os.sysconf("SC_OPEN_MAX"))
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    return 3


def _step(writer: int, seconds: float) -> None:
    os.write(writer, _STEP + _SECONDS.pack(seconds))


def _limit(megabytes: int) -> None:
    pages = int(open("/proc/self/statm").read().split()[0])  # noqa: SIM115 - the process is about to end
    most = pages * resource.getpagesize() + megabytes * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _answer(work: Callable[[Step], bytes], step: Step) -> bytes:
    try:
        return _GOOD + work(step)
    except TailraceError as exc:
        kind = next(name for name in (cls.__name__ for cls in type(exc).__mro__) if name in _ERRORS)
        refused = {"kind": kind, "message": exc.message, "field": exc.field, "code": exc.code}
        return _REFUSED + json.dumps(refused).encode()
    except BaseException as exc:
        text = " ".join(str(exc).split())[:500]
        return _FAILED + f"{type(exc).__name__}: {text}".encode(errors="backslashreplace")
