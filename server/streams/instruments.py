"""What the server measures of itself: counters, histograms and gauges, each declared here once.

Whoever learns or answers counts on these and knows nothing of who reads them (:mod:`server.operations.counted`). Counting
once costs a third of a microsecond; prometheus-client's own multi-process counters cost ten times that, leave a file behind
with every process that ends, and die of a full disk.
"""

from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path

from server.streams import slots
from server.streams.slots import Slots

BETWEEN = "\t"
"""Stands between the parts of a number's name: the metric, its labels' values, and which of its numbers it is."""

SUM = "sum"


class _Shared:
    """Where all instruments of this process keep their numbers."""

    slots = Slots()
    directory: Path | None = None


class _Numbers:
    """Numbers of one series, found again when their place changes."""

    __slots__ = ("_at", "_lock", "_names", "_values")

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self.place()
        _series.append(self)

    def place(self) -> None:
        slots = _Shared.slots
        self._at = [slots.slot(name) for name in self._names]
        self._lock, self._values = slots.lock, slots.values


class Count(_Numbers):
    """One series of a counter."""

    __slots__ = ()

    def add(self, amount: float = 1.0) -> None:
        with self._lock:
            self._values[self._at[0]] += amount


class Distribution(_Numbers):
    """One series of a histogram."""

    __slots__ = ("_bounds",)

    def __init__(self, names: Sequence[str], bounds: Sequence[float]) -> None:
        super().__init__(names)
        self._bounds = bounds

    def observe(self, value: float) -> None:
        at, values = self._at, self._values
        bucket = at[bisect_left(self._bounds, value)]
        with self._lock:
            values[bucket] += 1.0
            values[at[-1]] += value


class Level(_Numbers):
    """A gauge of this process: it counts for as long as the process lives."""

    __slots__ = ()

    def set(self, value: float) -> None:
        with self._lock:
            self._values[self._at[0]] = value


_series: list[_Numbers] = []


class Metric:
    """A name, what it says, and the names of its labels.

    Parameters
    ----------
    name
        Without the endings that Prometheus adds.
    help
        One line for who reads it.
    labels
        Names of its labels; their values are few and known beforehand.
    """

    kind = "counter"

    def __init__(self, name: str, help: str, labels: tuple[str, ...] = ()) -> None:
        self.name, self.help, self.labels = name, help, labels
        METRICS[name] = self

    def _name(self, values: Sequence[str], *more: str) -> str:
        return BETWEEN.join((self.name, *values, *more))


METRICS: dict[str, Metric] = {}
"""All that is declared, by name."""


class Counter(Metric):
    """Only ever grows."""

    def __init__(self, name: str, help: str, labels: tuple[str, ...] = ()) -> None:
        super().__init__(name, help, labels)
        self._known: dict[tuple[str, ...], Count] = {}

    def of(self, *values: str) -> Count:
        """The series with these labels."""
        found = self._known.get(values)
        if found is None:
            found = self._known[values] = Count([self._name(values)])
        return found


class Histogram(Metric):
    """How often a value lay between two bounds."""

    kind = "histogram"

    def __init__(self, name: str, help: str, bounds: tuple[float, ...], labels: tuple[str, ...] = ()) -> None:
        super().__init__(name, help, labels)
        self.bounds = bounds
        self._known: dict[tuple[str, ...], Distribution] = {}

    def of(self, *values: str) -> Distribution:
        """The series with these labels."""
        found = self._known.get(values)
        if found is None:
            buckets = [self._name(values, f"{bound:g}") for bound in (*self.bounds, float("inf"))]
            found = self._known[values] = Distribution([*buckets, self._name(values, SUM)], self.bounds)
        return found


class Gauge(Metric):
    """A level of each process, of which the sum is shown."""

    kind = "gauge"

    def __init__(self, name: str, help: str) -> None:
        super().__init__(name, help)
        self.level = Level([self._name(())])


def begin(directory: Path) -> None:
    """Keep the numbers where all processes of this machine can read them, once for this process.

    Parameters
    ----------
    directory
        The server's own; whatever stands there from processes that are gone is gone on with.
    """
    before = _Shared.slots.read()
    _Shared.slots, _Shared.directory = Slots(directory), directory
    for series in _series:
        series.place()
        if isinstance(series, Level):
            series.set(0)
    for name, value in before.items():
        if METRICS[name.partition(BETWEEN)[0]].kind == Gauge.kind:
            continue
        slot = _Shared.slots.slot(name)
        with _Shared.slots.lock:
            _Shared.slots.values[slot] += value


def read_all() -> list[dict[str, float]]:
    """The numbers of every process that is there or was, by name."""
    own = _Shared.slots
    shared = [] if _Shared.directory is None else list(slots.read_all(_Shared.directory))
    return shared if own.file is not None else [*shared, own.read()]


SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0

requests = Counter(
    "tailrace_requests", "Requests answered, by route (the template, not the path)", ("route", "method", "status")
)
request_seconds = Histogram(
    "tailrace_request_duration_seconds", "Time to answer a request, by what was called", SECONDS, ("call",)
)
observations = Counter("tailrace_observations", "Observations stored and learned")
duplicates = Counter(
    "tailrace_duplicates",
    "Observations that were there before: repeats of a key or a label, answered as the first time",
)
spooled = Counter("tailrace_spooled_observations", "Observations that clients had kept on disk and delivered later")
spooled_seconds = Histogram(
    "tailrace_spool_delay_seconds",
    "How long the oldest observation of a late delivery had waited on the client's disk",
    (MINUTE, 10 * MINUTE, HOUR, 6 * HOUR, DAY, 7 * DAY),
)
commit_requests = Histogram(
    "tailrace_commit_requests", "Requests that shared one commit", (1, 2, 4, 8, 16, 32, 64, 128)
)
commit_observations = Histogram(
    "tailrace_commit_observations", "Observations in one commit", (0, 1, 4, 16, 64, 256, 1024, 4096, 16384)
)
commit_seconds = Histogram(
    "tailrace_commit_phase_duration_seconds", "Time of one group commit, by phase", SECONDS, ("phase",)
)
catch_up_observations = Histogram(
    "tailrace_catch_up_observations",
    "How far replicas were behind the log when they were needed",
    (1, 10, 100, 1000, 10_000, 100_000, 1_000_000),
)
catch_up_seconds = Histogram(
    "tailrace_catch_up_duration_seconds", "Time that replicas took to catch up with the log", SECONDS
)
snapshots = Counter("tailrace_snapshots", "Snapshots written")
quarantines = Counter(
    "tailrace_quarantines", "Models that were put into quarantine: over a budget, or its process died"
)
quarantines.of()
database_errors = Counter("tailrace_database_errors", "Failures of the database, by kind", ("kind",))
for _kind in ("OperationalError", "InterfaceError"):  # so that the first failure is seen to come
    database_errors.of(_kind)
quota_refusals = Counter(
    "tailrace_quota_refusals", "Requests refused as a quota is used up, by quota and whose it is", ("quota", "of")
)
maintenance_failures = Counter("tailrace_maintenance_failures", "Times that the work beside the requests failed")

processes = Gauge("tailrace_processes", "Server processes that are alive")
alive_at = Gauge("tailrace_alive_at", "When this process last said so, by the machine's monotonic clock, s")
replicas = Gauge("tailrace_replicas", "Replicas in memory, of all processes together")
replica_bytes = Gauge("tailrace_replica_bytes", "Size of these replicas when they are stored, bytes")
resident_bytes = Gauge("tailrace_resident_memory_bytes", "Memory of all server processes together, bytes")
