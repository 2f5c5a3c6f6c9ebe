"""Reading a long LAMMPS log, in a process of its own."""

import json
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from bench.context import Context
from bench.errors import BenchError
from bench.rows import SPECS, Row
from bench.servers import ROOT

HEAD = b"LAMMPS (22 Jul 2025 - Update 4)\nPer MPI rank memory allocation (min/avg/max) = 3.4 | 3.4 | 3.4 Mbytes\n"
HEAD += b"   Step          Temp          E_pair         E_mol          TotEng         Press     \n"
ROW = b"%10d   2759.6089     -3044.9977      0             -2814.208       40627.42     \n"
TAIL = b"Loop time of 812.345 on 2 procs for %d steps with 648 atoms\n\nTotal wall time: 0:13:32\n"
# Not getrusage: its peak is that of the process that started this one, too.
READ = """
import json, re, sys, time
from lammps_jobs.logs.log_reader import read_log
before = time.perf_counter()
report = read_log(sys.argv[1])
seconds = time.perf_counter() - before
(peak,) = re.findall(r"VmHWM:\\s*(\\d+) kB", open("/proc/self/status").read())
print(json.dumps({"seconds": seconds, "peak_bytes": 1024 * int(peak), "loop_time": report.loop_time}))
"""


def log(context: Context) -> Iterator[Row]:
    """Write a log, read it in a fresh process several times, and weigh that process."""
    path = context.directory / "long.log"
    size = _write(path, context.log_bytes)
    samples = []
    for _ in range(context.rounds):
        done = subprocess.run(
            [sys.executable, "-c", READ, str(path)], cwd=ROOT, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise BenchError(f"the log could not be read: {done.stderr.strip()[-500:]}")
        samples.append(json.loads(done.stdout))
        context.tick()
    path.unlink()
    rate = size / 1e6 / statistics.median(sample["seconds"] for sample in samples)
    peak = max(sample["peak_bytes"] for sample in samples) / 1e6
    note = f"{size / 1e6:.0f} MB, most of it rows of numbers, median of {len(samples)}"
    yield Row(SPECS["log"], rate, note, {"runs": samples})
    yield Row(SPECS["log-memory"], peak, "the whole process, Python included", {"runs": samples})


def _write(path: Path, size: int) -> int:
    rows = max(1, (size - len(HEAD) - len(TAIL)) // len(ROW % 0))
    with open(path, "wb") as file:
        file.write(HEAD)
        for first in range(0, rows, 10_000):
            file.write(b"".join(ROW % step for step in range(first, min(rows, first + 10_000))))
        file.write(TAIL % rows)
    return path.stat().st_size
