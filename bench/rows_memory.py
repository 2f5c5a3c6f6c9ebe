"""Many small models in one process: what it weighs, and what it takes Prometheus to read them all."""

import statistics
import time
import urllib.request
from collections.abc import Iterator

from bench import calls, servers
from bench.context import Context
from bench.errors import BenchError
from bench.rows import SPECS, Row

SCRAPES = 20
"""Reads of the metrics, of which the median counts."""

MODEL_STATUS = "tailrace_model_scored{"
"""Begins the line of each model whose status is stored, which happens every few seconds."""


def models(context: Context) -> Iterator[Row]:
    """Make the models, each with a stream of its own, let each learn and predict, weigh the worker, and read its metrics."""
    server = servers.tailrace(context.directory, name="models")
    with servers.running(server):
        (worker,) = server.workers()
        empty = worker.memory_info().rss
        for number in range(context.models):
            name = f"small-{number}"
            point = {"x": number % 7, "y": number % 11, "z": number % 13}
            calls.call(f"{server.url}/api/v1/streams/", "POST", {"name": name, "target": {"name": "time", "unit": "s"}})
            calls.call(f"{server.url}/api/v1/models/", "POST", {"name": name, "stream": name, "recipe": "linear"})
            for _ in range(5):
                body = {"x": point, "y": number % 17}
                calls.call(f"{server.url}/api/v1/streams/{name}/observations/", "POST", body)
            if number % (context.models // 10) == 0:
                context.tick()
        for number in range(context.models):
            x = {"x": 1, "y": 2, "z": number % 5}
            calls.call(f"{server.url}/api/v1/models/small-{number}/predict/", "POST", {"x": x})
        full = worker.memory_info().rss
        scrapes = _scrapes(server.url, context.models) if "scrape" in context.wanted else []
    if scrapes:
        note = f"{context.models:,} models, {min(scrapes):.0f} to {max(scrapes):.0f} ms"
        yield Row(SPECS["scrape"], statistics.median(scrapes), note, {"ms": scrapes})
    if "models" not in context.wanted:
        return
    note = f"{context.models:,} models, each learned and predicted; {empty / 1e6:.0f} MB before the first"
    yield Row(SPECS["models"], full / 1e6, note, {"rss_bytes": full, "empty_bytes": empty})


def _scrapes(url: str, models: int) -> list[float]:
    """How long each read of the metrics took, in ms, once every model is in them."""
    give_up = time.monotonic() + 60
    while (known := _read(url).count(f"\n{MODEL_STATUS}")) < models:
        if time.monotonic() > give_up:
            raise BenchError(f"the metrics tell of {known} models, of {models} that learned")
        time.sleep(0.5)
    taken = []
    for _ in range(SCRAPES):
        began = time.perf_counter()
        _read(url)
        taken.append((time.perf_counter() - began) * 1000)
    return taken


def _read(url: str) -> str:
    with urllib.request.urlopen(f"{url}/metrics", timeout=60) as answer:
        return str(answer.read(), "utf-8")
