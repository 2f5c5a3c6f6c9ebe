"""How busy this machine is: CPU and memory, read without waiting for any disk."""

from __future__ import annotations

import os

__all__ = ["CpuMeter", "memory_used"]


class CpuMeter:
    """Share of all CPUs that was used since the last reading."""

    def __init__(self) -> None:
        self._last = _ticks()

    def read(self) -> float | None:
        """Returns the share, 0 to 1; None where ``/proc`` does not tell."""
        before, now = self._last, _ticks()
        self._last = now
        if before is None or now is None or now[1] <= before[1]:
            return None
        return round(1 - (now[0] - before[0]) / (now[1] - before[1]), 4)


def memory_used() -> float | None:
    """Returns the share of memory that is used, 0 to 1; None where ``/proc`` does not tell."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            facts = dict(line.split(":", 1) for line in file)
        total, free = (float(facts[name].split()[0]) for name in ("MemTotal", "MemAvailable"))
    except (OSError, KeyError, ValueError):
        return None
    return round(1 - free / total, 4)


def _ticks() -> tuple[int, int] | None:
    """Returns idle and all clock ticks of all CPUs."""
    try:
        descriptor = os.open("/proc/stat", os.O_RDONLY)
        try:
            numbers = [int(word) for word in os.read(descriptor, 4096).split(b"\n")[0].split()[1:9]]
        finally:
            os.close(descriptor)
        return numbers[3] + numbers[4], sum(numbers)
    except (OSError, ValueError, IndexError):
        return None
