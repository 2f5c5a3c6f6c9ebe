"""One point a request by callers who show a token, by the same server that asks nobody who they are."""

import subprocess
import sys
from collections.abc import Iterator

from bench import calls, load, servers
from bench.context import Context
from bench.errors import BenchError
from bench.load import Load, middle, rates
from bench.rows import SPECS, Row, median_ratio
from bench.servers import Server

UNLIMITED = {"TAILRACE_TOKEN_RATE": "0"}
"""One token asks as often as wrk can: no job does."""


def learn(context: Context) -> Iterator[Row]:
    """With one worker, as the row beside the peer."""
    return _asked_and_open(context, "learn", workers=1)


def predict(context: Context) -> Iterator[Row]:
    """With two workers, as the row beside the peer."""
    return _asked_and_open(context, "predict", workers=2)


def _asked_and_open(context: Context, kind: load.Kind, workers: int) -> Iterator[Row]:
    for name in servers.SERVERS:
        row = f"auth-{kind}-{name}"
        if row not in context.wanted:
            continue
        everyone = servers.tailrace(context.directory, name, workers=workers, name=f"open-{name}-{workers}w")
        asks = servers.tailrace(context.directory, name, workers=workers, name=f"asks-{name}-{workers}w")
        asks.environ |= {"TAILRACE_AUTH": "required"} | UNLIMITED
        with servers.running(everyone, asks):
            token = _token(asks)
            systems = {
                "open": Load(everyone.url, kind, context.seconds),
                "asks": Load(asks.url, kind, context.seconds, token=token),
            }
            for system in systems.values():
                calls.upload(system.url, token=system.token)
                Load(system.url, "learn", 1, token=system.token)(0)  # a model that has learned something
            samples = load.in_turn(systems, context.rounds, context.tick)
        own, without = rates(samples["asks"]), rates(samples["open"])
        note = f"{middle(own):,.0f} /s by {middle(without):,.0f} /s"
        yield Row(SPECS[row], 100 * median_ratio(own, without), note, load.as_json(samples))


def _token(server: Server) -> str:
    """A token with all scopes, on a server that runs."""
    command = [sys.executable, "manage.py", "create_token", "bench", "--create-user"]
    done = subprocess.run(command, cwd=servers.ROOT, env=server.environ, capture_output=True, text=True)
    if done.returncode:
        raise BenchError(f"manage.py create_token failed: {done.stderr.strip()}")
    return done.stdout.strip()
