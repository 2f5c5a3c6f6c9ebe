"""What a job pays to report itself: `tailrace post` from a cold process to its exit, and the spool's way back."""

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from bench import calls, servers
from bench.context import Context
from bench.errors import BenchError
from bench.rows import SPECS, Row, median_ratio

STREAM = "posted"
NOBODY = "http://127.0.0.1:9"
SPOOLED = 10_000
CLIENT = servers.ROOT / "client"

BARE = """
import http.client, json, sys
connection = http.client.HTTPConnection(sys.argv[1])
body = json.dumps({"x": {"x": 8, "y": 8, "z": 16}, "y": 120.3, "key": sys.argv[2]})
connection.request("POST", sys.argv[3], body, {"Content-Type": "application/json"})
assert connection.getresponse().status == 201
"""


def posting(context: Context) -> Iterator[Row]:
    """Whole processes in turn: ours, and a bare one that makes the same request; then one that nobody answers."""
    server = servers.tailrace(context.directory, name="posting")
    spool = context.directory / "spool"
    shutil.rmtree(spool, ignore_errors=True)
    ours: list[float] = []
    bare: list[float] = []
    refused: list[float] = []
    with servers.running(server):
        calls.call(f"{server.url}/api/v1/streams/", "POST", {"name": STREAM, "target": {"name": "time", "unit": "s"}})
        path, address = f"/api/v1/streams/{STREAM}/observations/", server.url.partition("//")[2]
        for number in range(4 * context.rounds):
            ours.append(_run([*_post(spool), "--url", server.url, "--key", f"ours-{number}"]))
            bare.append(_run([sys.executable, "-c", BARE, address, f"bare-{number}", path]))
            refused.append(_run([*_post(spool), "--url", NOBODY, "--key", f"kept-{number}"]))
        context.tick()
        if "post" in context.wanted:
            yield Row(SPECS["post"], statistics.median(ours), f"longest {max(ours):.0f} ms", {"ours": ours})
        if "post-bare" in context.wanted:
            note = f"{statistics.median(ours):.0f} ms by {statistics.median(bare):.0f} ms"
            yield Row(SPECS["post-bare"], median_ratio(ours, bare), note, {"ours": ours, "bare": bare})
        if "post-refused" in context.wanted:
            yield Row(
                SPECS["post-refused"], statistics.median(refused), f"longest {max(refused):.0f} ms", {"ours": refused}
            )


def flushing(context: Context) -> Iterator[Row]:
    """A spool of 10,000 observations, delivered by `tailrace flush`, process start included."""
    server = servers.tailrace(context.directory, name="flushing")
    spool = context.directory / "spool"
    rates: list[float] = []
    with servers.running(server):
        calls.call(f"{server.url}/api/v1/streams/", "POST", {"name": STREAM, "target": {"name": "time", "unit": "s"}})
        count = SPOOLED // 10 if context.quick else SPOOLED
        for number in range(min(3, context.rounds)):
            _fill(spool, count, number)
            took = _run([sys.executable, "-m", "tailrace", "flush", "--url", server.url, "--spool", str(spool)])
            context.tick()
            rates.append(count / took * 1e3)
        logged = calls.call(f"{server.url}/api/v1/streams/{STREAM}/")["head"]
    if logged != count * len(rates):
        raise BenchError(f"{count * len(rates)} observations were flushed, and the log holds {logged}")
    note = f"{count:,} observations; slowest of {len(rates)} {min(rates):,.0f} /s"
    yield Row(SPECS["flush"], statistics.median(rates), note, {"ours": rates})


def _post(spool: Path) -> list[str]:
    features = ["x=8", "y=8", "z=16", "--y", "120.3"]
    return [sys.executable, "-m", "tailrace", "post", STREAM, *features, "--spool", str(spool)]


def _fill(spool: Path, count: int, number: int) -> None:
    shutil.rmtree(spool, ignore_errors=True)
    spool.mkdir(parents=True)
    for n in range(count):
        observation = {"x": {"x": n % 64, "y": n % 63, "z": n % 61}, "y": n / 7, "key": f"{number}-{n}"}
        content = json.dumps({"stream": STREAM, "observation": observation})
        (spool / f"{n:020d}-{n:016x}.json").write_text(content)


def _run(command: list[str]) -> float:
    """Milliseconds from start to exit."""
    environ = {**os.environ, "PYTHONPATH": str(CLIENT)}
    began = time.perf_counter()
    done = subprocess.run(command, env=environ, capture_output=True, text=True)
    took = 1e3 * (time.perf_counter() - began)
    if done.returncode:
        raise BenchError(f"{' '.join(command[:5])} … ended with {done.returncode}: {done.stderr[-500:]}")
    return took
