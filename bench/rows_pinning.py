"""What it costs that every CPU gives the same bits: `bond-gpr`, which is mostly BLAS, with the pinned kernel and with the CPU's own."""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator

from bench.context import Context
from bench.errors import BenchError
from bench.rows import SPECS, Row, median_ratio
from bench.servers import ROOT

CHOICES = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "NPY_DISABLE_CPU_FEATURES", "NPY_ENABLE_CPU_FEATURES")
BONDS_OF_AN_ATOM = 6

SCRIPT = """
import json, sys, time
if sys.argv[1] == "pinned":
    from tailrace.estimators import arithmetic
    arithmetic.pin()
import numpy as np, pandas as pd
from tailrace.estimators import BondGPR

draw = np.random.default_rng(0)
columns = ["distance", *(f"s{n}" for n in range(64))]

def bonds(n):
    values = np.column_stack([draw.uniform(2.0, 4.2, n), draw.normal(size=(n, 64)) / np.arange(1, 65) ** 1.5])
    values[:, 1] = 0.95
    return pd.DataFrame(values, columns=columns)

model, learned, asked = BondGPR(), bonds(600), bonds(int(sys.argv[2]))
strength = pd.Series(1.0 + 0.1 * learned.distance)
model.learn_many(bonds(50), pd.Series(np.ones(50)))
began = time.process_time()
for _ in range(5):
    model.learn_many(learned, strength)
middle = time.process_time()
model.predict_many(asked)
print(json.dumps({"learn": middle - began, "predict": time.process_time() - middle}))
"""


def pinning(context: Context) -> Iterator[Row]:
    """CPU time of learning a cell's bonds at once, and of predicting those of 10,000 atoms."""
    count = BONDS_OF_AN_ATOM * (500 if context.quick else 10_000)
    seen: dict[str, list[dict[str, float]]] = {"own": [], "pinned": []}
    for _ in range(context.rounds):
        for kernel, runs in seen.items():
            runs.append(_run(kernel, count))
            context.tick()
    for what in ("learn", "predict"):
        row = f"pinning-{what}"
        if row not in context.wanted:
            continue
        pinned, own = ([run[what] for run in seen[kernel]] for kernel in ("pinned", "own"))
        note = f"{1e3 * statistics.median(pinned):.0f} ms by {1e3 * statistics.median(own):.0f} ms of CPU time"
        yield Row(SPECS[row], median_ratio(pinned, own), note, {"pinned": pinned, "own": own})


def _run(kernel: str, count: int) -> dict[str, float]:
    environ = {name: value for name, value in os.environ.items() if name not in CHOICES}
    environ |= {"PYTHONPATH": str(ROOT / "client"), "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, kernel, str(count)], env=environ, capture_output=True, text=True
    )
    if done.returncode:
        raise BenchError(f"bond-gpr with the {kernel} kernel failed: {done.stderr.strip()[-500:]}")
    found: dict[str, float] = json.loads(done.stdout)
    return found
