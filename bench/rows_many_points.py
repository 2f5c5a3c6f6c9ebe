"""One call of the client with a DataFrame of a million points, for a model of the recipe `runtime`."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator

from bench import servers
from bench.context import Context
from bench.errors import BenchError
from bench.rows import SPECS, Row
from bench.servers import ROOT

MILLION = 1_000_000

SCRIPT = """
import json, resource, sys, time
import numpy as np, pandas as pd
from tailrace import Client

client, count = Client(sys.argv[1], "", deadline=60), int(sys.argv[2])
draw = np.random.default_rng(1)

def frame(n):
    sizes = {name: draw.integers(1, 65, n) for name in "xyz"}
    return pd.DataFrame({**sizes, "processes": draw.choice([1, 2, 4, 8], n), "steps": 1000.0})

client.create_stream("runs", "time", "s")
client.create("m", "runs", "runtime")
learned = frame(500)
client.post_frame("runs", learned.assign(time=2 + 0.01 * learned.x * learned.y * learned.z / learned.processes), y="time")
asked = frame(count)
began = time.perf_counter()
found = client.model("m").predict(asked)
took = time.perf_counter() - began
assert len(found.to_frame()) == count
print(json.dumps({"seconds": took, "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
"""


def many_points(context: Context) -> Iterator[Row]:
    """How long it takes, and the larger peak memory of the client's process, frame and pandas included, and the server's."""
    count = MILLION // 50 if context.quick else MILLION
    server = servers.tailrace(context.directory, name="many-points")
    with servers.running(server):
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, server.url, str(count)],
            env=os.environ | {"PYTHONPATH": str(ROOT / "client")}, capture_output=True, text=True,
        )  # fmt: skip
        if done.returncode:
            raise BenchError(f"the client failed: {done.stderr.strip()[-500:]}")
        seen = json.loads(done.stdout)
        largest = max(worker.memory_info().rss for worker in server.workers()) / 2**20
    context.tick()
    note = f"{count:,} points, {1e6 * seen['seconds'] / count:.1f} µs each"
    if "predict-million" in context.wanted:
        yield Row(SPECS["predict-million"], seen["seconds"], note, seen)
    if "predict-million-memory" in context.wanted:
        note = f"client {seen['megabytes']:.0f} MB, server {largest:.0f} MB at the end"
        yield Row(SPECS["predict-million-memory"], max(seen["megabytes"], largest), note, seen | {"server": largest})
