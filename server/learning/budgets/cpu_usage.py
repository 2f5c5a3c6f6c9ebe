"""CPU time and memory of threads and processes, as the kernel counts them, and the share of a call's budget that is used."""

import contextlib
import os
from pathlib import Path
from typing import NamedTuple

IDLE_FACTOR = 5
"""A call that hardly uses the CPU may take this many times its budget."""

_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def budget_share(budget: float, seconds: float, used: float, others: float = 0.0) -> float:
    """Return the share of its budget that a call has used. More than 1 is too much.

    The budget is used up when the call has taken that long *and* used the CPU all the time. If it has taken that long
    even without the time of others, half of the budget on the CPU is enough. So a call that waits, or that shares the
    CPU or the interpreter with others, is not mistaken for one that never ends.

    Parameters
    ----------
    budget
        The most time that it may take, s.
    seconds
        How long it has taken, s.
    used
        CPU time that it has used, s.
    others
        CPU time of the process's other threads meanwhile, plus the time that all its threads waited for a CPU
        (:class:`CpuWait`), s. The call may have waited that long for the interpreter or for another program.
    """
    alone = max(0.0, seconds - others)
    return max(min(seconds, used), min(alone, 2 * used), alone / IDLE_FACTOR) / budget


class Usage(NamedTuple):
    """CPU time and memory pages of a thread or a process; zero if it doesn't exist.

    Attributes
    ----------
    cpu
        CPU time, s.
    system
        The part of it in the kernel, s. It includes the clearing of new memory.
    pages
        Minor page faults: memory pages that it touched for the first time.
    """

    cpu: float = 0.0
    system: float = 0.0
    pages: int = 0


def usage(pid: int, thread: int | None = None) -> Usage:
    """Return the usage of a thread of the process, or of the whole process."""
    place = f"/proc/{pid}/stat" if thread is None else f"/proc/{pid}/task/{thread}/stat"
    try:
        fields = Path(place).read_text().rpartition(")")[2].split()
    except OSError:
        return Usage()
    system = int(fields[12]) / _TICK
    return Usage(int(fields[11]) / _TICK + system, system, int(fields[7]))


class CpuWait:
    """How long the threads of a process have been ready to run but had no CPU, since this was created.

    The kernel forgets what a thread waited when the thread ends. So each call of :meth:`seconds` adds what is new.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._by_thread = cpu_waits(pid)
        self._nanoseconds = 0

    def seconds(self) -> float:
        """Return the waiting time of all threads so far, s, summed; 0 if the kernel doesn't count it."""
        now = cpu_waits(self._pid)
        self._nanoseconds += sum(max(0, wait - self._by_thread.get(thread, 0)) for thread, wait in now.items())
        self._by_thread = now
        return self._nanoseconds / 1e9


def cpu_waits(pid: int) -> dict[str, int]:
    """Return how long each thread of the process was ready to run but had no CPU, ns, by thread."""
    found: dict[str, int] = {}
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError, IndexError):  # the thread has ended
                found[thread] = int(Path(f"/proc/{pid}/task/{thread}/schedstat").read_text().split()[1])
    return found


def resident_bytes(pid: int | str = "self") -> int:
    """Return the resident memory of a process, bytes; 0 if there is no such process."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    except OSError:
        return 0
