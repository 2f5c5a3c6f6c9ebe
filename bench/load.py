"""Load from outside the server: wrk, a compiled load generator, with bodies that all differ."""

import dataclasses
import json
import os
import shutil
import statistics
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from bench.errors import BenchError

SCRIPT = Path(__file__).parent / "lua" / "points.lua"
CONNECTIONS = 16
TOKEN = "BENCH_TOKEN"

Kind = Literal["learn", "predict", "keep", "track", "label"]
"""What ``bench/lua/points.lua`` says of them."""

PATHS: dict[Kind, str] = {
    "learn": "/api/learn/", "predict": "/api/predict/", "keep": "/api/predict/", "label": "/api/predict/",
    "track": "/api/v1/models/linear/predict/",
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Sample:
    """What one run of the load generator saw: answers, seconds, latencies in ms, failures of any kind."""

    requests: int
    seconds: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    failures: int

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.requests / self.seconds


def require_wrk() -> None:
    """Check that the load generator is there.

    Raises
    ------
    BenchError
        Saying how to install it.
    """
    if shutil.which("wrk") is None:
        raise BenchError("wrk, the load generator, is not installed: run `apt-get install wrk` (Debian, Ubuntu)")


def wrk(
    script: Path,
    url: str,
    arguments: Sequence[str],
    *,
    seconds: int,
    connections: int = CONNECTIONS,
    may_fail: bool = False,
    environ: Mapping[str, str] | None = None,
) -> Sample:
    """Run the load generator once, with a script of ``bench/lua`` and arguments to it.

    Raises
    ------
    BenchError
        If it fails, or an answer does and ``may_fail`` doesn't allow for it.
    """
    command = [
        "wrk", "--threads", "1", "--connections", str(connections), "--duration", f"{seconds}s",
        "--timeout", "10s", "--script", str(script), url, "--", *arguments,
    ]  # fmt: skip
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60, env=environ)
    except subprocess.TimeoutExpired as exc:
        raise BenchError(f"wrk did not end: {' '.join(command)}") from exc
    result = next((line for line in done.stdout.splitlines() if line.startswith("RESULT ")), None)
    if done.returncode or result is None:
        raise BenchError(f"wrk exited with {done.returncode}: {(done.stderr or done.stdout).strip()[-500:]}")
    seen = json.loads(result.removeprefix("RESULT "))
    failures = sum(seen[name] for name in ("bad_status", "connect", "read", "write", "timeout"))
    if failures and not may_fail:
        raise BenchError(f"{failures} of {seen['requests']} requests to {url} failed: {result}")
    if not seen["requests"]:
        raise BenchError(f"no request to {url} was answered within {seconds} s")
    return Sample(seen["requests"], seen["seconds"], seen["p50_ms"], seen["p90_ms"], seen["p99_ms"], failures)


@dataclasses.dataclass
class Load:
    """Random points of the riverapi protocol for one server; each call of it is one measurement.

    Parameters
    ----------
    url
        The server's base address.
    kind
        Which call.
    seconds
        How long, whole seconds.
    models
        Names to draw from at random.
    connections
        Kept open, each with one request at a time.
    may_fail
        Count failed answers instead of raising: for the peer, which answers some with 500.
    token
        Sent with every request; None for a server that asks for none.
    """

    url: str
    kind: Kind
    seconds: int
    models: Sequence[str] = ("linear",)
    connections: int = CONNECTIONS
    may_fail: bool = False
    token: str | None = dataclasses.field(default=None, repr=False)
    answered: int = 0
    """Answers of all measurements so far."""

    def __call__(self, seed: int) -> Sample:
        """Measure once.

        Raises
        ------
        BenchError
            If wrk fails, or an answer does.
        """
        sample = wrk(
            SCRIPT,
            self.url + PATHS[self.kind],
            [self.kind, str(seed), *self.models],
            seconds=self.seconds,
            connections=self.connections,
            may_fail=self.may_fail,
            environ=self._environment(),
        )
        self.answered += sample.requests
        return sample

    def _environment(self) -> dict[str, str]:
        """Where the script finds the token: a command line can be read by others."""
        return os.environ | ({} if self.token is None else {TOKEN: self.token})


def in_turn(
    systems: Mapping[str, Callable[[int], Sample]], rounds: int, tick: Callable[[], None]
) -> dict[str, list[Sample]]:
    """Measure every system once a round, in turn, so that a machine that drifts drifts for all.

    Parameters
    ----------
    systems
        Name to a function that takes a seed and measures once.
    rounds
        How often; one more goes before, and is thrown away, to warm up.
    tick
        Called after every measurement.
    """
    samples: dict[str, list[Sample]] = {name: [] for name in systems}
    for number in range(rounds + 1):
        for name, measure in systems.items():
            sample = measure(number)
            tick()
            if number:
                samples[name].append(sample)
    return samples


def rates(samples: Sequence[Sample]) -> list[float]:
    """Of every sample, answers a second."""
    return [sample.rate for sample in samples]


def middle(values: Sequence[float]) -> float:
    """The median."""
    return statistics.median(values)


def as_json(samples: Mapping[str, Sequence[Sample]]) -> dict[str, list[dict[str, float]]]:
    """Every raw sample, for the file."""
    return {name: [dataclasses.asdict(sample) for sample in group] for name, group in samples.items()}
