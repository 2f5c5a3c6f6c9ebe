"""What a pod that is moved costs: a container from its start until it is ready, on a database that has its tables."""

import http.client
import os
import statistics
import time
from collections.abc import Iterator

from bench import calls, servers
from bench.context import Context
from bench.errors import BenchError
from bench.podman import SERVER, podman
from bench.rows import SPECS, Row

DATA = "/var/lib/tailrace"
PATIENCE = 60.0


def starting(context: Context) -> Iterator[Row]:
    """New containers, one after the other, on the volume of one that has made a stream and a model."""
    name = f"tailrace-bench-{os.getpid()}"
    podman("volume", "create", name)
    took: list[float] = []
    try:
        url, _ = _start(name)
        calls.call(f"{url}/api/v1/streams/", "POST", {"name": "runs", "target": {"name": "time", "unit": "s"}})
        calls.call(f"{url}/api/v1/models/", "POST", {"name": "runtime", "stream": "runs", "recipe": "linear"})
        for _ in range(context.rounds):
            podman("rm", "--force", "--time", "30", name)
            took.append(_start(name)[1])
            context.tick()
    finally:
        podman("rm", "--force", "--ignore", "--time", "0", name)
        podman("volume", "rm", "--force", name)
    note = f"longest {max(took):.1f} s; `podman run` until /readyz says so, SQLite, 2 workers"
    yield Row(SPECS["container-start"], statistics.median(took), note, {"ours": took})


def _start(name: str) -> tuple[str, float]:
    """Start a container; its address, and the seconds until it was ready."""
    bind = servers.free_address()
    began = time.perf_counter()
    podman(
        "run", "--detach", "--name", name, "--network", "host", "--read-only", "--cap-drop", "all", "--volume", f"{name}:{DATA}",
        "--env", f"TAILRACE_BIND={bind}", "--env", "TAILRACE_AUTH=open", SERVER,
    )  # fmt: skip
    while not _is_ready(bind):
        if time.perf_counter() - began > PATIENCE:
            raise BenchError(
                f"the container wasn't ready after {PATIENCE:g} s:\n{podman('logs', '--tail', '20', name)}"
            )
        time.sleep(0.01)
    return f"http://{bind}", time.perf_counter() - began


def _is_ready(bind: str) -> bool:
    connection = http.client.HTTPConnection(bind, timeout=5)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
