"""A stream of 1,000,000 observations: learning into it, replaying it, starting with it."""

import time
from collections.abc import Iterator

from bench import bulk, calls, load, loop, replay, servers
from bench.context import Context
from bench.errors import BenchError
from bench.load import Load, middle, rates
from bench.rows import SPECS, Row, median_ratio
from bench.rows_bulk import PER_REQUEST, model

FILL = 10_000
"""Observations a request while a stream is filled: the most that the server takes."""

SHORT = 10_000
BACKFILL_SECONDS = 120
STREAM = "linear"
"""The stream's name, and its model's, so that the riverapi protocol finds it too."""


def long_stream(context: Context) -> Iterator[Row]:
    """All rows that need the long stream, which is filled once."""
    long = servers.tailrace(context.directory, name="long")
    with servers.running(long):
        context.say(f"filling a stream with {context.long:,} observations")
        model(long.url, STREAM, STREAM)
        bulk.measure(long.url, STREAM, FILL, context.long // FILL, seed=1)
        context.tick()
        if context.wanted & {"long-learn", "long-bulk"}:
            yield from _by_length(context, long)
        if context.wanted & {"replay", "backfill"}:
            yield from _by_loop(context, long)
        if "long-start" in context.wanted:
            yield _first_predict(context, long)


def _by_length(context: Context, long: servers.Server) -> Iterator[Row]:
    requests = 20 if context.quick else 100
    one: dict[str, list[load.Sample]] = {"long": [], "short": []}
    many: dict[str, list[load.Sample]] = {"long": [], "short": []}
    for number in range(context.rounds + 1):
        # A new database each time: what is measured makes a short stream long.
        short = servers.tailrace(context.directory, name="short")
        with servers.running(short):
            model(short.url, STREAM, STREAM)
            bulk.measure(short.url, STREAM, FILL, SHORT // FILL, seed=2)
            both = (("long", long), ("short", short))
            for name, server in both:
                if "long-learn" in context.wanted:
                    one[name].append(Load(server.url, "learn", context.seconds)(number))
                    context.tick()
            for name, server in both:
                if "long-bulk" in context.wanted:
                    many[name].append(bulk.measure(server.url, STREAM, PER_REQUEST, requests, number))
                    context.tick()
    for row, samples, unit in (("long-learn", one, "/s"), ("long-bulk", many, "points/s")):
        if row in context.wanted:
            own, fresh = rates(samples["long"][1:]), rates(samples["short"][1:])
            note = f"{middle(own):,.0f} by {middle(fresh):,.0f} {unit}"
            yield Row(SPECS[row], 100 * median_ratio(own, fresh), note, load.as_json(samples))


def _by_loop(context: Context, long: servers.Server) -> Iterator[Row]:
    loops: list[float] = []
    replays: list[float] = []
    backfills: list[float] = []
    for number in range(_repeats(context)):
        loops.append(loop.measure(context.long // 2, number))
        context.tick()
        if "replay" in context.wanted:
            replays.append(replay.measure(STREAM, long.environ))
            context.tick()
        if "backfill" in context.wanted:
            backfills.append(_backfill(long.url, f"late-{number}"))
            context.tick()
    for row, own in (("replay", replays), ("backfill", backfills)):
        if own:
            note = f"{middle(own):,.0f} points/s by {middle(loops):,.0f} /s"
            yield Row(SPECS[row], 100 * median_ratio(own, loops), note, {"ours": own, "loop": loops})


def _backfill(url: str, name: str) -> float:
    """Observations a second from the call that makes the model until it serves; the model is deleted again."""
    head = calls.head(url, STREAM)
    started = time.perf_counter()
    model(url, name, STREAM)
    while (state := calls.call(f"{url}/api/v1/models/{name}/"))["status"] != "ready":
        if state["status"] == "failed" or time.perf_counter() - started > BACKFILL_SECONDS:
            raise BenchError(f"the backfill of {head:,} observations failed or took over {BACKFILL_SECONDS} s: {state}")
        time.sleep(0.05)
    took = time.perf_counter() - started
    calls.call(f"{url}/api/v1/models/{name}/", "DELETE")
    return head / took


def _first_predict(context: Context, long: servers.Server) -> Row:
    """Kill -9, start, ask: the answer may come from a snapshot and the log behind it, never from 1,000,000 steps."""
    asked, started = [], []
    for number in range(3):
        Load(long.url, "learn", 1)(number)
        long.kill()
        began = time.perf_counter()
        long.start()
        up = time.perf_counter()
        calls.call(f"{long.url}/api/v1/models/{STREAM}/predict/", "POST", {"x": {"x": 1, "y": 2, "z": 3}})
        done = time.perf_counter()
        asked.append(done - up)
        started.append(done - began)
        context.tick()
    note = f"worst of {len(asked)} starts after kill -9; {max(started):.1f} s from the command to the answer"
    return Row(SPECS["long-start"], max(asked), note, {"predict": asked, "start_and_predict": started})


def steps(context: Context) -> int:
    """How often these rows tick."""
    by_length = 2 * len(context.wanted & {"long-learn", "long-bulk"}) * (context.rounds + 1)
    by_loop = len(context.wanted & {"replay", "backfill"})
    repeats = _repeats(context)
    return 1 + by_length + (repeats * (1 + by_loop) if by_loop else 0) + (3 if "long-start" in context.wanted else 0)


def _repeats(context: Context) -> int:
    return 2 if context.quick else 3
