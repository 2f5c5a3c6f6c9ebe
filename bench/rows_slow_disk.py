"""A disk whose flushes take 4 ms: one worker, and 64 connections that wait for them."""

from collections.abc import Iterator

from bench import calls, load, servers
from bench.context import Context
from bench.load import Load, middle, rates
from bench.rows import SPECS, Row
from bench.slow_flush import library

MILLISECONDS = 4.0
CONNECTIONS = 64


def slow_disk(context: Context) -> Iterator[Row]:
    """Learn and kept predictions, on both servers."""
    environ = {"LD_PRELOAD": str(library(context.directory, MILLISECONDS))}
    for name in servers.SERVERS:
        kinds: dict[load.Kind, str] = {"learn": f"slow-learn-{name}", "keep": f"slow-keep-{name}"}
        wanted = {kind: row for kind, row in kinds.items() if row in context.wanted}
        if not wanted:
            continue
        server = servers.tailrace(context.directory, name, name=f"slow-disk-{name}", environ=environ)
        with servers.running(server):
            calls.upload(server.url)
            Load(server.url, "learn", 1)(0)
            systems = {
                row: Load(server.url, kind, context.seconds, connections=CONNECTIONS) for kind, row in wanted.items()
            }
            samples = load.in_turn(systems, context.rounds, context.tick)
        for row in wanted.values():
            every = samples[row]
            note = f"median latency {middle([sample.p50_ms for sample in every]):.0f} ms"
            yield Row(SPECS[row], middle(rates(every)), note, load.as_json({row: every}))
