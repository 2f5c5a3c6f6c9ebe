"""Many small models in one process."""

from collections.abc import Iterator

from bench import calls, servers
from bench.context import Context
from bench.rows import SPECS, Row


def models(context: Context) -> Iterator[Row]:
    """Make the models, each with a stream of its own, let each learn and predict, and weigh the worker."""
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
    note = f"{context.models:,} models, each learned and predicted; {empty / 1e6:.0f} MB before the first"
    yield Row(SPECS["models"], full / 1e6, note, {"rss_bytes": full, "empty_bytes": empty})
