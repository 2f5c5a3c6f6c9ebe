"""Tuning of a server process: CPU pinning, garbage collection, signals, file limits, sockets."""

import contextlib
import errno
import fcntl
import gc
import os
import resource
import signal
import socket
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

from server.core.stopping import STOPPING

MOST_ON_ONE_CPU = 16
"""Number of servers on one machine that may pin workers to the same CPU. Further ones don't pin."""

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)

_held: list[tuple[int, socket.socket]] = []
"""Locks that are held until the process ends."""


def tune(directory: Path, *, pin: bool, workers: int) -> None:
    """Pin this process to a CPU (if ``pin``), and exclude loaded objects from garbage collection.

    Parameters
    ----------
    directory
        Directory with the lock files by which the processes of one server share the CPUs.
    pin
        Whether to pin. The threads of a process run one at a time, and switching between CPUs more than halves the rate of
        requests.
    workers
        Number of processes of the server. If there are more than CPUs, none is pinned.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)
    if pin and hasattr(os, "sched_setaffinity"):
        cpus = sorted(os.sched_getaffinity(0))
        if 1 < len(cpus) >= workers:
            _take_one_of(cpus, directory)


def handle_stop_signals() -> None:
    """Start a thread that receives the stop signals, ends the event streams, and calls the handlers of the signals.

    Call it in the main thread, before other threads start. While a signal has no handler, it ends the process.

    It is needed for granian: its main thread only waits, and Python runs handlers only in the main thread, so a signal that
    the kernel delivers to another thread would have no effect. Also, a worker has the handlers of its parent until it sets its
    own.
    """
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)  # every thread inherits it
    threading.Thread(target=_take_stops, name="stops", daemon=True).start()


def _take_stops() -> None:
    while True:
        number = signal.sigwait(STOP_SIGNALS)
        STOPPING.set()
        handler = signal.getsignal(number)
        if callable(handler):
            handler(number, None)
        else:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
            signal.raise_signal(number)


def raise_file_limit(count: int) -> int:
    """Raise the limit of open files to ``count``, or to the hard limit. Return the new limit, at most ``count``."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count if hard == resource.RLIM_INFINITY else min(count, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    return count if soft == resource.RLIM_INFINITY else soft


def drop_dead_clients(seconds: float) -> None:
    """Set socket timeouts so that the kernel closes connections to clients that are gone or read nothing.

    Without them a thread would wait for ever, for example for a node that lost power. Connections inherit the options from the
    listening socket.
    """

    def prepare() -> None:
        # granian opens its sockets after it has loaded the application.
        deadline = time.monotonic() + 60
        while not _prepare_sockets(seconds) and time.monotonic() < deadline:
            time.sleep(0.02)

    if not _prepare_sockets(seconds):
        threading.Thread(target=prepare, name="listeners", daemon=True).start()


def _prepare_sockets(seconds: float) -> bool:
    """Set the timeouts of listening sockets and their accepted connections. Return whether there are listening sockets."""
    ports: set[int] = set()
    with _own_sockets() as own:
        inet = [found for found in own if found.family in (socket.AF_INET, socket.AF_INET6)]
        for found in inet:
            with contextlib.suppress(OSError):  # closed meanwhile
                if found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                    ports.add(found.getsockname()[1])
        for found in inet:
            with contextlib.suppress(OSError):
                if found.getsockname()[1] in ports:
                    _prepare(found, seconds)
    return bool(ports)


@contextlib.contextmanager
def _own_sockets() -> Iterator[list[socket.socket]]:
    """Yield the open sockets of this process.

    It doesn't duplicate descriptors. Closing a duplicate of a file's descriptor would release all fcntl locks of the process on
    that file, including SQLite's, which would corrupt its shared memory or allow two writers at once.
    """
    own: list[socket.socket] = []
    try:
        for descriptor in os.listdir("/proc/self/fd"):
            with contextlib.suppress(OSError):  # another kind of file, or closed already
                own.append(socket.socket(fileno=int(descriptor)))
        yield own
    finally:
        for found in own:
            found.detach()


def _prepare(found: socket.socket, seconds: float) -> None:
    idle = max(1, round(seconds))
    found.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    found.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, idle)
    found.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, max(1, idle // 3))
    found.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
    found.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(seconds * 1000))


def _take_one_of(cpus: list[int], directory: Path) -> None:
    """Pin to a CPU that no other worker of this server uses, and that is used by the fewest servers of this machine."""
    # Servers in other containers can't be detected from here, but start their search at another CPU.
    first = zlib.crc32(f"{socket.gethostname()} {directory}".encode())
    turned = [cpus[(first + number) % len(cpus)] for number in range(len(cpus))]
    for others in range(MOST_ON_ONE_CPU):
        for cpu in turned:
            if _take(cpu, others, directory):
                for task in os.listdir("/proc/self/task"):  # granian's threads already exist
                    os.sched_setaffinity(int(task), {cpu})
                return


def _take(cpu: int, others: int, directory: Path) -> bool:
    """Try to take a CPU as the only worker of this server, and as number ``others`` of this machine's servers."""
    descriptor = os.open(directory / f"cpu-{cpu}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    place = socket.socket(socket.AF_UNIX)  # the name is released with the process, like a lock
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        place.bind(f"\0tailrace-cpu-{cpu}-{others}")
    except OSError as exc:
        if exc.errno in (errno.EWOULDBLOCK, errno.EADDRINUSE):
            os.close(descriptor)
            place.close()
            return False
    _held.append((descriptor, place))
    return True
