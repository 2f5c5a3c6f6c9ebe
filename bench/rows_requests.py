"""One point a request: learn and predict at 16 connections, and the latency of one connection."""

import statistics
import time
from collections.abc import Callable, Generator, Iterator

from bench import calls, load, servers
from bench.context import Context
from bench.errors import BenchError
from bench.load import Load, middle, rates
from bench.rows import SPECS, Row, median_ratio
from bench.servers import ServerName

Counted = Generator[Row, None, tuple[int, int]]
"""Rows, and in the end how many learn calls were acknowledged and how many observations are logged."""

EIGHT = tuple(f"linear-{number}" for number in range(8))


def learn(context: Context) -> Iterator[Row]:
    """Ours on both servers with one worker, beside the peer."""
    return _beside_peer(context, "learn", workers=1)


def predict(context: Context) -> Iterator[Row]:
    """Ours on both servers with two workers, beside the peer."""
    return _beside_peer(context, "predict", workers=2)


def keep(context: Context) -> Iterator[Row]:
    """Predictions that are kept, as the published client asks for them."""
    return _beside_peer(context, "keep", workers=2)


def track(context: Context) -> Iterator[Row]:
    """The same by our native address, beside the peer's only one."""
    return _beside_peer(context, "track", workers=2)


def late_label(context: Context) -> Iterator[Row]:
    """A kept prediction and its label, in turn."""
    return _beside_peer(context, "label", workers=2)


def _beside_peer(context: Context, kind: load.Kind, workers: int) -> Iterator[Row]:
    names = [name for name in servers.SERVERS if f"{kind}-{name}" in context.wanted]
    ours = {name: servers.tailrace(context.directory, name, workers=workers) for name in names}
    peers = "keep" if kind == "track" else kind
    peer = PeerLoad(servers.peer(context.directory, context.peer_python), peers, context.seconds)
    with servers.running(peer.server, *ours.values()):
        for server in ours.values():
            calls.upload(server.url)
            Load(server.url, "learn", 1)(0)  # a model that has learned something
        systems: dict[str, Callable[[int], load.Sample]] = {"peer": peer}
        systems |= {name: Load(server.url, kind, context.seconds) for name, server in ours.items()}
        samples = load.in_turn(systems, context.rounds, context.tick)
    theirs = rates(samples["peer"])
    for name in names:
        own = rates(samples[name])
        note = f"{middle(own):,.0f} /s by {middle(theirs):,.0f} /s{peer.remark()}"
        raw = load.as_json({"ours": samples[name], "peer": samples["peer"]})
        yield Row(SPECS[f"{kind}-{name}"], median_ratio(own, theirs), note, raw)


class PeerLoad:
    """Load on the peer, which gets a new model every time: its threads tear its shelve, and then every call fails.

    Failed answers count as answers, in its favour, but where more than a few fail it is not learning, and is measured again.
    """

    MOST_FAILURES = 0.02
    TRIES = 6

    def __init__(self, server: servers.Server, kind: load.Kind, seconds: int) -> None:
        self.server = server
        self._load = Load(server.url, kind, seconds, may_fail=True)
        self._failures = self._torn = 0

    def __call__(self, seed: int) -> load.Sample:
        """Measure once.

        Raises
        ------
        BenchError
            If its storage breaks in every try.
        """
        for _ in range(self.TRIES):
            calls.upload(self.server.url)
            sample = self._load(seed)
            if sample.failures <= self.MOST_FAILURES * sample.requests:
                self._failures += sample.failures
                return sample
            self._torn += 1
        raise BenchError(f"the peer tore its storage {self.TRIES} times in a row:\n{self.server.log_end()}")

    def remark(self) -> str:
        """What to know about its answers, if anything."""
        remarks = [f"; the peer answered {self._failures} with errors"] if self._failures else []
        if self._torn:
            remarks.append(f"; the peer tore its storage {self._torn} times and was measured again")
        return "".join(remarks)


def two_workers(context: Context) -> Iterator[Row]:
    """Two processes on the same streams: not slower than one, and nothing lost."""
    counts = []
    for name in servers.SERVERS:
        models = {f"one-stream-{name}": ("linear",), f"eight-streams-{name}": EIGHT}
        models = {row: streams for row, streams in models.items() if row in context.wanted}
        if not models and name == "gunicorn" and "lost" in context.wanted:
            models = {f"one-stream-{name}": ("linear",)}
        if models:
            counts.append((yield from _one_and_two(context, name, models)))
    if "lost" in context.wanted:
        answered, logged = (sum(column) for column in zip(*counts, strict=True))
        note = f"{answered:,} acknowledged by 2 workers, {logged:,} in the logs"
        yield Row(SPECS["lost"], max(0, answered - logged), note, {"answered": answered, "logged": logged})


def _one_and_two(context: Context, server: ServerName, models: dict[str, tuple[str, ...]]) -> Counted:
    one = servers.tailrace(context.directory, server, name=f"one-worker-{server}")
    two = servers.tailrace(context.directory, server, workers=2, name=f"two-workers-{server}")
    answered = logged = 0
    with servers.running(one, two):
        for row, streams in models.items():
            for each in (one, two):
                calls.upload(each.url, streams)
            systems = {
                "one": Load(one.url, "learn", context.seconds, streams),
                "two": Load(two.url, "learn", context.seconds, streams),
            }
            samples = load.in_turn(systems, context.rounds, context.tick)
            ones, twos = rates(samples["one"]), rates(samples["two"])
            if row in context.wanted:
                note = f"{middle(twos):,.0f} /s by {middle(ones):,.0f} /s"
                yield Row(SPECS[row], median_ratio(twos, ones), note, load.as_json(samples))
            answered += systems["two"].answered
            logged += sum(_logged(two.url, stream) for stream in streams)
    return answered, logged


def _logged(url: str, stream: str) -> int:
    """Observations in a stream's log, once its one model, which bears its name, has learned them all."""
    give_up = time.monotonic() + 10
    while (head := calls.head(url, stream)) != (learned := calls.learned(url, stream)):
        # What wrk had under way when its time was up is still being learned.
        if time.monotonic() > give_up:
            raise BenchError(f"the log of {stream} has {head} observations, its model has learned {learned}")
        time.sleep(0.1)
    return head


def latency(context: Context) -> Iterator[Row]:
    """One connection: ours by a bare Django view on the same server with the same settings."""
    for name in servers.SERVERS:
        if f"latency-{name}" not in context.wanted:
            continue
        ours = servers.tailrace(context.directory, name, workers=2)
        bare = servers.bare(context.directory, name, workers=2)
        with servers.running(ours, bare):
            calls.upload(ours.url)
            Load(ours.url, "learn", 1)(0)
            systems = {
                "bare": Load(bare.url, "predict", context.seconds, connections=1),
                "ours": Load(ours.url, "predict", context.seconds, connections=1),
            }
            samples = load.in_turn(systems, context.rounds, context.tick)
        medians = {system: [sample.p50_ms for sample in group] for system, group in samples.items()}
        note = f"{statistics.median(medians['ours']):.3f} ms by {statistics.median(medians['bare']):.3f} ms"
        value = median_ratio(medians["ours"], medians["bare"])
        yield Row(SPECS[f"latency-{name}"], value, note, load.as_json(samples))
