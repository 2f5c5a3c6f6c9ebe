"""What a server process does to itself once it has loaded everything: measured choices, each worth a part of the rate."""

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

from server.stopping import STOPPING

MOST_ON_ONE_CPU = 16
"""Servers of one machine that share a CPU before the kernel had better say who runs where."""

STOPS = (signal.SIGINT, signal.SIGTERM)

_held: list[tuple[int, socket.socket]] = []
"""Locks that are held for as long as the process lives."""


def settle(directory: Path, *, pin: bool, workers: int) -> None:
    """Take a CPU for this process's own (if ``pin``), and keep the garbage collector off what never becomes garbage.

    Parameters
    ----------
    directory
        Where the processes of one server agree on who runs where.
    pin
        Whether to stay on one CPU. The threads of a process take turns anyway, and taking turns across CPUs costs more
        than half of the rate.
    workers
        How many processes the server has: more than there are CPUs, and none is pinned.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)
    if pin and hasattr(os, "sched_setaffinity"):
        cpus = sorted(os.sched_getaffinity(0))
        if 1 < len(cpus) >= workers:
            _take_one_of(cpus, directory)


def hear_stops() -> None:
    """Have a thread take the signals that stop this process, end the event streams and call what handles the signals; the main
    thread calls this before there are others. Until something handles them they end the process.

    granian's main thread only waits, and Python calls handlers in the main thread alone: a signal that the kernel gives to
    another thread, as it may, wakes nobody. And a worker has its parent's handlers until it sets its own.
    """
    for number in STOPS:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)  # every thread inherits it
    threading.Thread(target=_take_stops, name="stops", daemon=True).start()


def _take_stops() -> None:
    while True:
        number = signal.sigwait(STOPS)
        STOPPING.set()
        handler = signal.getsignal(number)
        if callable(handler):
            handler(number, None)
        else:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
            signal.raise_signal(number)


def allow_files(count: int) -> int:
    """Let this process open so many files, as far as its hard limit allows; how many it may open then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count if hard == resource.RLIM_INFINITY else min(count, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    return count if soft == resource.RLIM_INFINITY else soft


def drop_dead_clients(seconds: float) -> None:
    """Have the kernel end connections whose client has gone without a word (a node that lost its power), or reads nothing,
    for so many seconds: else a thread waits for them for ever. Connections have it from the socket that accepts them.
    """

    def prepare() -> None:
        # granian opens its own when the application is loaded.
        deadline = time.monotonic() + 60
        while not _prepare_sockets(seconds) and time.monotonic() < deadline:
            time.sleep(0.02)

    if not _prepare_sockets(seconds):
        threading.Thread(target=prepare, name="listeners", daemon=True).start()


def _prepare_sockets(seconds: float) -> bool:
    """Prepare the sockets that accept connections, and what they have accepted before; whether there are any."""
    ports: set[int] = set()
    with _own_sockets() as own:
        inet = [found for found in own if found.family in (socket.AF_INET, socket.AF_INET6)]
        for found in inet:
            with contextlib.suppress(OSError):  # ended meanwhile
                if found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                    ports.add(found.getsockname()[1])
        for found in inet:
            with contextlib.suppress(OSError):
                if found.getsockname()[1] in ports:
                    _prepare(found, seconds)
    return bool(ports)


@contextlib.contextmanager
def _own_sockets() -> Iterator[list[socket.socket]]:
    """What this process has open that is a socket.

    No descriptor is copied: closing the copy of one of a file's ends all locks that the process has on it (fcntl's), and with
    them SQLite's, which then takes the memory that it shares with other processes for its own, or lets two write at once.
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
    """Of the CPUs that no other worker of this server has, one that the fewest servers of this machine keep busy."""
    # A server in another container can't be seen from here, but begins its search elsewhere.
    first = zlib.crc32(f"{socket.gethostname()} {directory}".encode())
    turned = [cpus[(first + number) % len(cpus)] for number in range(len(cpus))]
    for others in range(MOST_ON_ONE_CPU):
        for cpu in turned:
            if _take(cpu, others, directory):
                for task in os.listdir("/proc/self/task"):  # granian's threads are there already
                    os.sched_setaffinity(int(task), {cpu})
                return


def _take(cpu: int, others: int, directory: Path) -> bool:
    """Whether this process is now the one of its server, and of this machine the one after so many others, on the CPU."""
    descriptor = os.open(directory / f"cpu-{cpu}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    place = socket.socket(socket.AF_UNIX)  # its name is gone with the process, as a lock is
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
