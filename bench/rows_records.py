"""Records: what they cost while many points are learned, their size, and how fast ranges of a long one are read."""

import statistics
import time
from collections.abc import Iterator

from bench import bulk, calls, servers
from bench.context import Context
from bench.errors import BenchError
from bench.load import middle
from bench.rows import SPECS, Row, median_ratio
from bench.servers import Server

PER_REQUEST, WORKERS = 500, 2
REQUESTS = {"linear": 200, "runtime": 24}
"""Requests of one sample: a few seconds each."""

SEGMENTS = 20
"""Segments of the long stream."""

GIVE_UP = 1800
BUCKETS = 2_000


def records(context: Context) -> Iterator[Row]:
    """Learn with records on and off in turn, and wait in between until everything is recorded."""
    for recipe in ("linear", "runtime"):
        names = {f"records-learn-{recipe}", f"records-size-{recipe}", f"records-catch-up-{recipe}"}
        if names & context.wanted:
            yield from _of_recipe(context, recipe)
    if context.wanted & {"records-range", "records-range-segment"}:
        yield from _ranges(context)


def _of_recipe(context: Context, recipe: str) -> Iterator[Row]:
    on, off = (
        servers.tailrace(
            context.directory, workers=WORKERS, name=f"records-{recipe}-{switch}", environ={"TAILRACE_RECORDS": switch}
        )
        for switch in ("true", "false")
    )
    requests = max(2, REQUESTS[recipe] // (4 if context.quick else 1))
    samples: dict[str, list[float]] = {"on": [], "off": []}
    waits: list[float] = []
    with servers.running(on, off):
        for server in (on, off):
            _model(server, recipe)
        for number in range(context.rounds + 1):
            for name, server in (("on", on), ("off", off)):
                rate = bulk.measure(server.url, "records", PER_REQUEST, requests, number).rate
                if number:
                    samples[name].append(rate)
                if server is on:
                    waits.append(wait(on))
                context.tick()
        points = PER_REQUEST * requests * (context.rounds + 1)
        size = _size(on, recipe)
    yield Row(
        SPECS[f"records-learn-{recipe}"],
        100 * median_ratio(samples["on"], samples["off"]),
        f"{middle(samples['on']):,.0f} points/s by {middle(samples['off']):,.0f} /s",
        samples,
    )
    yield Row(SPECS[f"records-size-{recipe}"], size / points, f"{points:,} observations", {"bytes": size})
    rate = PER_REQUEST * requests / statistics.median(waits)
    full = 1_000_000 if recipe == "linear" else 100_000
    note = f"{rate:,.0f} observations/s, measured with {PER_REQUEST * requests:,}"
    yield Row(SPECS[f"records-catch-up-{recipe}"], full / rate, note, {"seconds": waits})


def _model(server: Server, recipe: str, **stream: str) -> None:
    target = {"name": "time", "unit": "s"}
    calls.call(f"{server.url}/api/v1/streams/", "POST", {"name": "records", "target": target, **stream})
    calls.call(f"{server.url}/api/v1/models/", "POST", {"name": recipe, "stream": "records", "recipe": recipe})


def wait(server: Server) -> float:
    """Wait until everything is recorded. Return how long that took, s."""
    began = time.monotonic()
    for model in calls.call(f"{server.url}/api/v1/models/")["models"]:
        while calls.call(f"{server.url}/api/v1/models/{model['name']}/record/?buckets=1")["behind"]:
            if time.monotonic() - began > GIVE_UP:
                raise BenchError(f"the record of {model['name']} is not complete after {GIVE_UP} s")
            time.sleep(0.2)
    return time.monotonic() - began


def _size(server: Server, model: str) -> int:
    import sqlite3

    database = sqlite3.connect(f"file:{server.environ['TAILRACE_VAR_DIR']}/tailrace.sqlite3?mode=ro", uri=True)
    try:
        query = "SELECT SUM(LENGTH(columns) + LENGTH(summary) + LENGTH(by_segment) + LENGTH(segments) + 64) FROM learning_recordblock"
        return int(database.execute(query).fetchone()[0])
    finally:
        database.close()


def _ranges(context: Context) -> Iterator[Row]:
    server = servers.tailrace(context.directory, workers=WORKERS, name="records-range")
    head = context.long
    ranges = {
        "whole": (1, head), "a tenth": (head * 4 // 10 + 1, head // 2), "a quarter": (1, head // 4),
        "odd": (head // 8 + 77, head // 8 + 76 + head // 8), "half": (78, head // 2 + 77), "most": (778, head - 333),
    }  # fmt: skip
    with servers.running(server):
        _model(server, "linear", segment="kind")
        bulk.measure(server.url, "records", PER_REQUEST, head // PER_REQUEST, 1, segments=SEGMENTS)
        wait(server)
        context.tick()
        for name, more in (("records-range", ""), ("records-range-segment", "&segment=8")):
            if name not in context.wanted:
                continue
            found = {}
            for what, (first, last) in ranges.items():
                path = f"/api/v1/models/linear/record/?first={first}&last={last}&buckets={BUCKETS}{more}"
                times = []
                for _ in range(2 * context.rounds + 1):
                    began = time.perf_counter()
                    calls.call(server.url + path)
                    times.append(1e3 * (time.perf_counter() - began))
                found[what] = times[1:]
            context.tick()
            medians = {what: statistics.median(times) for what, times in found.items()}
            slowest = max(medians, key=lambda what: medians[what])
            note = f"{slowest} is slowest; " + ", ".join(f"{what} {ms:.0f}" for what, ms in medians.items())
            yield Row(SPECS[name], medians[slowest], note, found)


def steps(context: Context) -> int:
    """How often these rows tick."""
    recipes = sum(any(name.endswith(recipe) for name in context.wanted if "records" in name) for recipe in REQUESTS)
    ranges = len(context.wanted & {"records-range", "records-range-segment"})
    return 2 * recipes * (context.rounds + 1) + (1 + ranges if ranges else 0)
