"""All Prometheus metrics of the server: counters, histograms and gauges.

:mod:`server.operations.process_metrics` reads them. To increment one takes 0.3 µs. The multi-process counters of
prometheus-client take ten times as long, leave a file behind for each process that ends, and crash the process if the disk
is full.
"""

from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path

from server.core.metrics import shared_counters
from server.core.metrics.shared_counters import Slots

SEPARATOR = "\t"
"""Separates the parts of a number's name: the metric, the values of its labels, and the bucket or :data:`SUM`."""

SUM = "sum"


class _Shared:
    """The numbers of all metrics of this process."""

    slots = Slots()
    directory: Path | None = None


class _Series:
    """The numbers of one series. :meth:`place` finds their slots again after :func:`use_directory`."""

    __slots__ = ("_at", "_lock", "_names", "_values")

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self.place()
        _series.append(self)

    def place(self) -> None:
        slots = _Shared.slots
        self._at = [slots.slot(name) for name in self._names]
        self._lock, self._values = slots.lock, slots.values


class CounterSeries(_Series):
    """One series of a counter."""

    __slots__ = ()

    def add(self, amount: float = 1.0) -> None:
        with self._lock:
            self._values[self._at[0]] += amount


class HistogramSeries(_Series):
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


class GaugeSeries(_Series):
    """The gauge of this process. It counts only while the process lives."""

    __slots__ = ()

    def set(self, value: float) -> None:
        with self._lock:
            self._values[self._at[0]] = value


_series: list[_Series] = []


class Metric:
    """A metric.

    Parameters
    ----------
    name
        Its name, without the suffixes that Prometheus adds.
    help
        One line that describes it.
    labels
        Names of its labels. Their values must be few and known in advance.
    """

    kind = "counter"

    def __init__(self, name: str, help: str, labels: tuple[str, ...] = ()) -> None:
        self.name, self.help, self.label_names = name, help, labels
        METRICS[name] = self

    def _name(self, values: Sequence[str], *more: str) -> str:
        return SEPARATOR.join((self.name, *values, *more))


METRICS: dict[str, Metric] = {}
"""All metrics, by name."""


class Counter(Metric):
    """A number that only grows."""

    def __init__(self, name: str, help: str, labels: tuple[str, ...] = ()) -> None:
        super().__init__(name, help, labels)
        self._known: dict[tuple[str, ...], CounterSeries] = {}

    def labels(self, *values: str) -> CounterSeries:
        """Return the series with these label values."""
        found = self._known.get(values)
        if found is None:
            found = self._known[values] = CounterSeries([self._name(values)])
        return found


class Histogram(Metric):
    """Counts of values by bucket."""

    kind = "histogram"

    def __init__(self, name: str, help: str, bounds: tuple[float, ...], labels: tuple[str, ...] = ()) -> None:
        super().__init__(name, help, labels)
        self.bounds = bounds
        self._known: dict[tuple[str, ...], HistogramSeries] = {}

    def labels(self, *values: str) -> HistogramSeries:
        """Return the series with these label values."""
        found = self._known.get(values)
        if found is None:
            buckets = [self._name(values, f"{bound:g}") for bound in (*self.bounds, float("inf"))]
            found = self._known[values] = HistogramSeries([*buckets, self._name(values, SUM)], self.bounds)
        return found


class Gauge(Metric):
    """A number of each process. ``/metrics`` shows the sum over all processes."""

    kind = "gauge"

    def __init__(self, name: str, help: str) -> None:
        super().__init__(name, help)
        self._series = GaugeSeries([self._name(())])

    def set(self, value: float) -> None:
        """Set the number of this process."""
        self._series.set(value)


def use_directory(directory: Path) -> None:
    """Move the numbers of this process to a file in ``directory``, where all processes of this machine can read them.

    Call it once per process.

    Parameters
    ----------
    directory
        The server's directory for metrics. Files of processes that have ended are reused, with their numbers.
    """
    before = _Shared.slots.read()
    _Shared.slots, _Shared.directory = Slots(directory), directory
    for series in _series:
        series.place()
        if isinstance(series, GaugeSeries):
            series.set(0)
    for name, value in before.items():
        if METRICS[name.partition(SEPARATOR)[0]].kind == Gauge.kind:
            continue
        slot = _Shared.slots.slot(name)
        with _Shared.slots.lock:
            _Shared.slots.values[slot] += value


def read_all() -> list[dict[str, float]]:
    """Return the numbers of each process, running or ended, by name."""
    own = _Shared.slots
    shared = [] if _Shared.directory is None else list(shared_counters.read_all(_Shared.directory))
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
    "Observations that were already stored: repeats of a key or a label, answered as the first time",
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
    "Observations that replicas were behind the log when they were needed",
    (1, 10, 100, 1000, 10_000, 100_000, 1_000_000),
)
catch_up_seconds = Histogram(
    "tailrace_catch_up_duration_seconds", "Time that replicas took to catch up with the log", SECONDS
)
snapshots = Counter("tailrace_snapshots", "Snapshots written")
quarantines = Counter(
    "tailrace_quarantines", "Models put into quarantine because they exceeded a budget or crashed their process"
)
quarantines.labels()
database_errors = Counter("tailrace_database_errors", "Failures of the database, by kind", ("kind",))
for _kind in ("OperationalError", "InterfaceError"):  # starts the series at 0, so that a rate shows the first failure
    database_errors.labels(_kind)
quota_refusals = Counter(
    "tailrace_quota_refusals", "Requests refused because a quota is used up, by quota and owner", ("quota", "of")
)
maintenance_failures = Counter("tailrace_maintenance_failures", "Failures of background maintenance")

processes = Gauge("tailrace_processes", "Server processes that are alive")
alive_at = Gauge("tailrace_alive_at", "Time at which this process last reported to be alive, on the monotonic clock, s")
replicas = Gauge("tailrace_replicas", "Replicas in memory, summed over all processes")
replica_bytes = Gauge("tailrace_replica_bytes", "Stored size of these replicas, bytes")
resident_bytes = Gauge("tailrace_resident_memory_bytes", "Memory of all server processes, bytes")
