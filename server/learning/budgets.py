"""What threads and processes have used, as the kernel counts it, and how much of its time a call has spent."""

import contextlib
import os
from pathlib import Path
from typing import NamedTuple

IDLE_FACTOR = 5
"""What hardly uses the CPU may take so many times its budget."""

_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def spent(budget: float, seconds: float, used: float, others: float = 0.0) -> float:
    """Which share of its budget is spent; more than 1 is too much.

    All of it is spent when the time is up *and* was spent on the CPU; half of it on the CPU is enough where the time is up even
    without that of others. So what waits, or shares its CPU or the interpreter with others, isn't taken for what computes for ever.

    Parameters
    ----------
    budget
        The most that it may take, s.
    seconds
        How long it has taken, s.
    used
        How much of the CPU it has used, s.
    others
        How much its process's other threads have used meanwhile, and how long all of them waited for a CPU (:func:`waited`), s: for so
        long it may have waited for the interpreter, or for another program.
    """
    alone = max(0.0, seconds - others)
    return max(min(seconds, used), min(alone, 2 * used), alone / IDLE_FACTOR) / budget


class Usage(NamedTuple):
    """What a thread, or a process, has used so far; nothing where there is none.

    Attributes
    ----------
    cpu
        CPU time, s.
    system
        The part of it that the kernel used for it, s: new memory is cleared in it, whatever the size of its pages.
    pages
        Pages of memory that it was given as it touched them first.
    """

    cpu: float = 0.0
    system: float = 0.0
    pages: int = 0


def usage(pid: int, thread: int | None = None) -> Usage:
    """What a thread of the process has used, or the whole process."""
    place = f"/proc/{pid}/stat" if thread is None else f"/proc/{pid}/task/{thread}/stat"
    try:
        fields = Path(place).read_text().rpartition(")")[2].split()
    except OSError:
        return Usage()
    system = int(fields[12]) / _TICK
    return Usage(int(fields[11]) / _TICK + system, system, int(fields[7]))


def waited(pid: int) -> float:
    """How long the process's threads could have gone on and had no CPU, s, added up; 0 where the kernel doesn't count it."""
    nanoseconds = 0
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError, IndexError):  # of a thread that has ended
                nanoseconds += int(Path(f"/proc/{pid}/task/{task}/schedstat").read_text().split()[1])
    return nanoseconds / 1e9


def resident_bytes(pid: int | str = "self") -> int:
    """Memory of a process; 0 if there is no such process."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    except OSError:
        return 0
