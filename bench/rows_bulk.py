"""Many points a request, by a bare river loop that is measured in turn."""

import contextlib
from collections.abc import Iterator

from bench import bulk, calls, loop, servers
from bench.context import Context
from bench.load import middle
from bench.rows import SPECS, Row, median_ratio

PER_REQUEST = 500
STREAM = "bulk"


def bulk_learning(context: Context) -> Iterator[Row]:
    """Batches of 500 into one model of the recipe `linear`, on both databases."""
    requests = 40 if context.quick else 300
    count = PER_REQUEST * requests
    with contextlib.ExitStack() as stack:
        ours = {}
        for database in ("sqlite", "postgresql"):
            if f"bulk-{database}" in context.wanted:
                url = stack.enter_context(context.postgresql()) if database == "postgresql" else ""
                ours[database] = servers.tailrace(context.directory, database_url=url, name=f"bulk-{database}")
        stack.enter_context(servers.running(*ours.values()))
        for server in ours.values():
            model(server.url, "linear", STREAM)
        loops: list[float] = []
        samples: dict[str, list[float]] = {database: [] for database in ours}
        for number in range(context.rounds + 1):
            speed = loop.measure(count, number)
            context.tick()
            for database, server in ours.items():
                rate = bulk.measure(server.url, STREAM, PER_REQUEST, requests, number).rate
                context.tick()
                if number:
                    samples[database].append(rate)
            if number:
                loops.append(speed)
    for database, own in samples.items():
        yield Row(
            SPECS[f"bulk-{database}"],
            100 * median_ratio(own, loops),
            f"{middle(own):,.0f} points/s by {middle(loops):,.0f} /s",
            {"ours": own, "loop": loops, "points": count},
        )


def model(url: str, name: str, stream: str, *, backfill: bool = True) -> None:
    """Make a model of the recipe `linear`, and its stream unless it is there."""
    streams = calls.call(f"{url}/api/v1/streams/")
    if not any(known["name"] == stream for known in streams["streams"]):
        calls.call(f"{url}/api/v1/streams/", "POST", {"name": stream, "target": {"name": "time", "unit": "s"}})
    body = {"name": name, "stream": stream, "recipe": "linear", "backfill": backfill}
    calls.call(f"{url}/api/v1/models/", "POST", body)
