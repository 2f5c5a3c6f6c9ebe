"""What a training pays to track itself: a call of log_metrics, and the import of the package."""

import json
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from bench import servers
from bench.context import Context
from bench.errors import BenchError
from bench.rows import SPECS, Row

CLIENT = servers.ROOT / "client"
NOBODY = "http://127.0.0.1:9"
CALLS = 20_000

CALL = f"""
import json, sys, time
from tailrace.tracking import ExperimentConfig, ExperimentTracker
tracker = ExperimentTracker.create(["tailrace", "mlflow"], ExperimentConfig(name="bench"), url={NOBODY!r},
    tracking_uri={NOBODY!r}, spool=sys.argv[1])
run = tracker.start_run()
times = []
for step in range({CALLS}):
    began = time.perf_counter()
    tracker.log_metrics({{"epoch": step, "train_loss": 0.123456789 + step, "val_loss": 0.23456789 / (step + 1)}})
    times.append(time.perf_counter() - began)
times.sort()
assert run.status().logged >= {CALLS}, run.status()
print(json.dumps([sum(times) / len(times) * 1e6, times[len(times) // 2] * 1e6, times[-1] * 1e3]))
"""

IMPORT = """
import json, time
began = time.perf_counter()
from tailrace.tracking import ExperimentConfig, ExperimentTracker, NeuralOperatorMetrics
print(json.dumps([(time.perf_counter() - began) * 1e3]))
"""


def tracking(context: Context) -> Iterator[Row]:
    """Processes of their own, as a training is: the calls with two back ends that do not answer, and the import."""
    spool = context.directory / "tracking-spool"
    means: list[float] = []
    medians: list[float] = []
    longest: list[float] = []
    imports: list[float] = []
    for _ in range(context.rounds):
        shutil.rmtree(spool, ignore_errors=True)
        mean, median, most = _run(CALL, spool)
        means.append(mean)
        medians.append(median)
        longest.append(most)
        imports += _run(IMPORT, spool)
        context.tick()
    shutil.rmtree(spool, ignore_errors=True)
    if "tracking-call" in context.wanted:
        note = f"median {statistics.median(medians):.1f} µs, longest of {CALLS:,} {statistics.median(longest):.2f} ms"
        yield Row(SPECS["tracking-call"], statistics.median(means), note, {"ours": means, "longest_ms": longest})
    if "tracking-import" in context.wanted:
        note = f"longest {max(imports):.0f} ms"
        yield Row(SPECS["tracking-import"], statistics.median(imports), note, {"ours": imports})


def _run(program: str, spool: Path) -> list[float]:
    environ = {**os.environ, "PYTHONPATH": str(CLIENT), "TAILRACE_TRACKING_HANDOVER": "0"}
    done = subprocess.run([sys.executable, "-c", program, str(spool)], env=environ, capture_output=True, text=True)
    if done.returncode:
        raise BenchError(f"a training ended with {done.returncode}: {done.stderr[-500:]}")
    found: list[float] = json.loads(done.stdout)
    return found
