"""Pages: how long the server takes for them at a great size, and what open pages cost those who learn and predict."""

import statistics
from collections.abc import Iterator

from bench import bulk, calls, load, pages, rows_records, servers
from bench.context import Context
from bench.load import Load, middle, rates
from bench.repaint import repainted
from bench.rows import SPECS, Row, median_ratio
from bench.servers import Server

PER_REQUEST, WORKERS = 500, 2
SEGMENTS = 500
OPEN, AT_ONCE = 20, 50
SHORT = 10_000
COMPARED = ("linear", "second")

LONG_ROWS = ("pages-stream", "pages-model", "pages-queries", "pages-compare", "pages-segments", "pages-at-once")


def overview(context: Context) -> Iterator[Row]:
    """The overview of many streams, each with a model that has learned."""
    server = servers.tailrace(context.directory, workers=WORKERS, name="pages-overview")
    with servers.running(server):
        for number in range(context.models):
            name = f"small-{number}"
            calls.call(f"{server.url}/api/v1/streams/", "POST", {"name": name, "target": {"name": "time", "unit": "s"}})
            calls.call(f"{server.url}/api/v1/models/", "POST", {"name": name, "stream": name, "recipe": "linear"})
            body = {"x": {"x": number % 7, "y": number % 11}, "y": number % 17}
            calls.call(f"{server.url}/api/v1/streams/{name}/observations/", "POST", body)
        context.tick()
        times = pages.timed(server.url, ["/"] * 4 * context.rounds)
        count = pages.queries(server.environ, ["/"])["/"]
    note = f"{context.models:,} models, {count} queries, {min(times):.0f} to {max(times):.0f} ms"
    yield Row(SPECS["pages-overview"], statistics.median(times), note, {"ms": times, "queries": count})


def long_stream(context: Context) -> Iterator[Row]:
    """Pages of a stream that has learned many observations of many segments, with two models."""
    server = servers.tailrace(context.directory, workers=WORKERS, name="pages-long")
    asked = ["/streams/pages/", "/models/linear/", f"/compare/?model={COMPARED[0]}&model={COMPARED[1]}"]
    with servers.running(server):
        target = {"name": "time", "unit": "s"}
        calls.call(f"{server.url}/api/v1/streams/", "POST", {"name": "pages", "target": target, "segment": "kind"})
        for name in COMPARED:
            calls.call(f"{server.url}/api/v1/models/", "POST", {"name": name, "stream": "pages", "recipe": "linear"})
        bulk.measure(server.url, "pages", PER_REQUEST, SHORT // PER_REQUEST, 1, segments=SEGMENTS)
        rows_records.wait(server)
        early = pages.queries(server.environ, asked)
        bulk.measure(server.url, "pages", PER_REQUEST, (context.long - SHORT) // PER_REQUEST, 2, segments=SEGMENTS)
        rows_records.wait(server)
        context.tick()
        late = pages.queries(server.environ, asked)
        for name, path in (("pages-stream", asked[0]), ("pages-model", asked[1])):
            if name in context.wanted:
                yield _timed(context, server, name, path)
        if "pages-queries" in context.wanted:
            grown = {path: count for path, count in late.items() if count > early[path]}
            note = f"{', '.join(f'{count} of {path}' for path, count in late.items())}; " + (
                f"more than at {SHORT:,}: {', '.join(grown)}" if grown else f"as many as at {SHORT:,} observations"
            )
            # One that grows with the log misses the target, too.
            value = max(late.values()) if not grown else float("inf")
            yield Row(SPECS["pages-queries"], value, note, {"early": early, "late": late})
        if "pages-compare" in context.wanted:
            yield _compare(context, server)
        if "pages-segments" in context.wanted:
            yield _timed(context, server, "pages-segments", "/models/linear/parts/segments/")
        if "pages-at-once" in context.wanted:
            half = [f"/models/linear/?n={context.long - number}" for number in range(AT_ONCE // 2)]
            samples = [
                pages.all_at_once(
                    server.url, half + ["/models/linear/charts/error/", asked[0]] * (AT_ONCE // 4) + ["/"]
                )
                for _ in range(context.rounds)
            ]
            slowest = [max(times) for times in samples]
            note = f"{len(samples[0])} pages, {min(slowest):,.0f} to {max(slowest):,.0f} ms"
            yield Row(SPECS["pages-at-once"], statistics.median(slowest) / 1e3, note, {"ms": samples})
        context.tick()


def _timed(context: Context, server: Server, name: str, path: str) -> Row:
    times = pages.timed(server.url, [path] * 4 * context.rounds)
    note = f"{context.long:,} observations, {SEGMENTS} segments, {min(times):.0f} to {max(times):.0f} ms"
    return Row(SPECS[name], statistics.median(times), note, {"ms": times})


def _compare(context: Context, server: Server) -> Row:
    models = "&".join(f"model={name}" for name in COMPARED)
    # Another range each time, since a process keeps its latest results.
    times = pages.timed(server.url, [f"/compare/?{models}&first={n + 2}" for n in range(2 * context.rounds + 1)])
    note = f"two models, nothing kept from before, {min(times):.0f} to {max(times):.0f} ms"
    return Row(SPECS["pages-compare"], statistics.median(times), note, {"ms": times})


def open_pages(context: Context) -> Iterator[Row]:
    """Learn with and without open pages; predict with and without records."""
    if "pages-learn" in context.wanted:
        yield from _learn(context)
    if "records-predict" in context.wanted:
        yield from _predict(context)


def _learn(context: Context) -> Iterator[Row]:
    server = servers.tailrace(context.directory, workers=WORKERS, name="pages-open")
    samples: dict[str, list[float]] = {"with": [], "without": []}
    with servers.running(server):
        calls.upload(server.url)
        learn = Load(server.url, "learn", context.seconds)
        for number in range(context.rounds + 1):
            plain = learn(2 * number).rate
            with pages.opened(server.url, "linear", OPEN):
                followed = learn(2 * number + 1).rate
            if number:
                samples["with"].append(followed)
                samples["without"].append(plain)
            context.tick()
    note = f"{middle(samples['with']):,.0f} /s by {middle(samples['without']):,.0f} /s, {OPEN} pages of the model"
    yield Row(SPECS["pages-learn"], 100 * median_ratio(samples["with"], samples["without"]), note, samples)


def _predict(context: Context) -> Iterator[Row]:
    both = {
        switch: servers.tailrace(
            context.directory, workers=WORKERS, name=f"pages-predict-{switch}", environ={"TAILRACE_RECORDS": switch}
        )
        for switch in ("true", "false")
    }
    with servers.running(*both.values()):
        for server in both.values():
            calls.upload(server.url)
            Load(server.url, "learn", 1)(0)
        systems = {switch: Load(server.url, "predict", context.seconds) for switch, server in both.items()}
        found = load.in_turn(systems, context.rounds, context.tick)
    on, off = rates(found["true"]), rates(found["false"])
    note = f"{middle(on):,.0f} /s by {middle(off):,.0f} /s"
    yield Row(SPECS["records-predict"], 100 * median_ratio(on, off), note, load.as_json(found))


def repaint(context: Context) -> Iterator[Row]:
    """A chart of 100,000 points, drawn anew in Chromium."""
    server = servers.tailrace(context.directory, name="pages-repaint")
    with servers.running(server):
        calls.upload(server.url)
        Load(server.url, "learn", 1)(0)
        times = repainted(server.url, "linear", 4 * context.rounds)
    context.tick()
    note = f"{min(times):.0f} to {max(times):.0f} ms"
    yield Row(SPECS["pages-repaint"], statistics.median(times), note, {"ms": times})


def steps(context: Context) -> int:
    """How often the rows of open pages tick."""
    return len(context.wanted & {"pages-learn", "records-predict"}) * (context.rounds + 1) * 2
