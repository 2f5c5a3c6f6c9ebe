"""What a server process does to itself once it has loaded everything: measured choices, each worth a part of the rate."""

import fcntl
import gc
import os
import zlib
from pathlib import Path

_held: list[int] = []
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


def _take_one_of(cpus: list[int], directory: Path) -> None:
    first = zlib.crc32(str(directory).encode())  # another server on this machine starts elsewhere
    for number in range(len(cpus)):
        cpu = cpus[(first + number) % len(cpus)]
        descriptor = os.open(directory / f"cpu-{cpu}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            continue
        _held.append(descriptor)
        for task in os.listdir("/proc/self/task"):  # granian's threads are there already
            os.sched_setaffinity(int(task), {cpu})
        return
