"""Work on what nobody has tried yet, in a process of its own with limits on time and memory.

The child is forked, so that it has what the caller has, and begins in a millisecond. It can harm nothing but itself: if it hangs,
crashes or takes too much memory it is ended, and the caller is told so.
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
from collections.abc import Callable
from typing import Any, NoReturn

from server.learning import call_marks
from server.learning.budgets import spent, usage, waited
from server.streams import errors
from server.streams.errors import TailraceError, Unavailable

PATIENCE = 2.0
"""Seconds that a caller waits for room: its thread is one that others may need."""

PR_SET_PDEATHSIG = 1
_GOOD, _REFUSED, _FAILED, _STEP = b"\0", b"\1", b"\2", b"\3"
_SECONDS = struct.Struct("d")
LOOK = 50
"""Milliseconds between two looks at what a child has spent."""

_libc = ctypes.CDLL(None, use_errno=True)
_ERRORS: dict[str, type[TailraceError]] = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, TailraceError) and kind is not errors.TooMany
}


class Exceeded(Exception):
    """The work took too long or too much memory, or ended its process; the message says which, without a subject."""


class Failed(Exception):
    """The work raised an error that isn't the caller's: its class and message, in one line."""


Step = Callable[[float], None]
"""Called with how many seconds the next part of the work may take."""


def run(work: Callable[[Step], bytes], *, seconds: float, megabytes: int) -> bytes:
    """Do the work in a child process, and return what it returns.

    Parameters
    ----------
    work
        Touches no file, socket or database, and returns bytes.
    seconds
        How long it may take, up to its first step (:func:`server.learning.budgets.spent`).
    megabytes
        By how much it may grow.

    Raises
    ------
    Exceeded
        If it took more than that, or died.
    TailraceError
        What the work raised, with the same message.
    Failed
        If the work raised anything else.
    Unavailable
        If as many children work already as may at once, for longer than :data:`PATIENCE`.
    """
    if not _Children.room.acquire(timeout=PATIENCE):
        raise Unavailable("the server is trying as many models as it may at once; try again")
    try:
        return _run(work, seconds, megabytes)
    finally:
        _Children.room.release()


class _Children:
    """How many may work at once: threads of the server wait for them."""

    room = threading.BoundedSemaphore(2)
    forking = threading.Lock()


def _run(work: Callable[[Step], bytes], seconds: float, megabytes: int) -> bytes:
    reader, writer = os.pipe()
    parent = os.getpid()
    child = _fork()
    if child == 0:
        _be_the_child(work, writer, parent, megabytes)
    os.close(writer)
    answer: bytes | None = None
    try:
        answer, seconds = _read(child, reader, seconds)
    finally:
        os.close(reader)
        if answer is None:
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    return _understood(answer, status, seconds, megabytes)


def _fork() -> int:
    """Fork, such that the child never finalizes what its parent had.

    The parent's database connections are garbage in the child. To close one waits for ever for a mutex of SQLite's that another of
    the parent's threads held at the time of the fork.
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
    """All that the child writes, or None if it is late; and how long its last step may take."""
    poll = select.poll()
    poll.register(reader, select.POLLIN)
    content = bytearray()
    began, cpu, idle = time.monotonic(), 0.0, 0.0
    while True:
        if poll.poll(LOOK):
            part = os.read(reader, 2**20)
            if not part:
                return bytes(content), seconds
            content += part
            while content[:1] == _STEP and len(content) > _SECONDS.size:
                (seconds,) = _SECONDS.unpack_from(content, 1)
                del content[: 1 + _SECONDS.size]
                began, cpu, idle = time.monotonic(), usage(child, child).cpu, waited(child)
        if spent(seconds, time.monotonic() - began, usage(child, child).cpu - cpu, waited(child) - idle) > 1:
            return None, seconds


def _understood(answer: bytes | None, status: int, seconds: float, megabytes: int) -> bytes:
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


def _be_the_child(work: Callable[[Step], bytes], writer: int, parent: int, megabytes: int) -> NoReturn:
    try:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGABRT, signal.SIGSEGV):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        writer = _alone(writer)
        call_marks.detach()
        _limit(megabytes)
        answer = memoryview(_answer(work, lambda seconds: _step(writer, seconds)))
        while answer:
            answer = answer[os.write(writer, answer) :]
    finally:
        os._exit(0)


def _alone(writer: int) -> int:
    """Close all that belongs to the parent: connections, files and the locks that it holds on them."""
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
