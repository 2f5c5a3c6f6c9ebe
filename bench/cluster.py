"""Servers on one PostgreSQL, as pods are: a process tree and a directory each; load on all of them at once, and what it cost."""

import dataclasses
import statistics
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psycopg2

from bench import calls, load, servers
from bench.errors import BenchError
from bench.load import Sample
from bench.usage import Usage, postmaster

MOST_AT_ONCE = 4000
"""Observations under way at once: as many requests as that allows, and no more than :data:`bench.load.CONNECTIONS`."""

SCRIPT = Path(load.__file__).parent / "lua" / "observations.lua"


@dataclasses.dataclass(frozen=True)
class Case:
    """One setting to be measured.

    Parameters
    ----------
    instances
        Servers, of one process each.
    streams, models, features, batch
        How many streams; models on each; features of an observation; observations of a request.
    kept
        Whether a stream's requests all go to one server, as a gateway that hashes its name sends them; else to any.
    pinned
        Whether a server stays on a CPU of its own, as it does by itself; not in pods, which share CPUs unseen.
    """

    instances: int = 1
    streams: int = 8
    models: int = 1
    features: int = 3
    batch: int = 1
    kept: bool = True
    pinned: bool = True


@dataclasses.dataclass(frozen=True)
class Cost:
    """What a case came to.

    Parameters
    ----------
    rate
        Observations a second.
    p50_ms, p99_ms
        Of a request.
    cpu_us
        CPU microseconds of an observation, by who used them: server, postgresql, load.
    group
        Observations of a commit.
    log_bytes, wal_bytes
        Bytes of an observation, in the log's table with its index, and in PostgreSQL's write-ahead log.
    """

    rate: float
    p50_ms: float
    p99_ms: float
    cpu_us: Mapping[str, float]
    group: float
    log_bytes: float
    wal_bytes: float


class Cluster:
    """Servers that run, and the streams on which they are measured.

    Parameters
    ----------
    running
        The servers.
    """

    def __init__(self, running: Sequence[servers.Server]) -> None:
        self.running = list(running)

    def prepare(self, case: Case, prefix: str = "s") -> list[str]:
        """Make the streams of a case with their models; their names."""
        url = self.running[0].url
        names = [f"{prefix}{number}" for number in range(case.streams)]
        for name in names:
            calls.call(f"{url}/api/v1/streams/", "POST", {"name": name, "target": {"name": "time", "unit": "s"}})
            for number in range(case.models):
                body = {"name": f"{name}-{number}", "stream": name, "recipe": "linear"}
                calls.call(f"{url}/api/v1/models/", "POST", body)
        return names

    def measure(self, case: Case, streams: Sequence[str], seconds: int, seed: int) -> Sample:
        """Load on all servers at once, each by a generator of its own; ``requests`` counts observations.

        Raises
        ------
        BenchError
            If an answer is no 2xx.
        """
        count = case.instances
        shares = [streams[number::count] if case.kept else streams for number in range(count)]
        with ThreadPoolExecutor(count) as pool:
            samples = list(pool.map(lambda n: self._load(case, shares[n], n, seconds, seed), range(count)))
        return together(samples, case.batch)

    def _load(self, case: Case, streams: Sequence[str], number: int, seconds: int, seed: int) -> Sample:
        if not streams:
            raise BenchError(f"{case.instances} servers for {case.streams} streams: some would have nothing to do")
        arguments = [str(1000 * seed + number), str(case.features), str(case.batch), *streams]
        connections = max(1, min(load.CONNECTIONS, MOST_AT_ONCE // case.batch) // case.instances)
        return load.wrk(SCRIPT, self.running[number].url, arguments, seconds=seconds, connections=connections)


def together(samples: Sequence[Sample], batch: int = 1) -> Sample:
    """What several generators saw at once: all answers, the middle of their medians, the worst of their worst."""
    return Sample(
        batch * sum(sample.requests for sample in samples),
        max(sample.seconds for sample in samples),
        statistics.median(sample.p50_ms for sample in samples),
        max(sample.p90_ms for sample in samples),
        max(sample.p99_ms for sample in samples),
        sum(sample.failures for sample in samples),
    )


@contextmanager
def cluster(directory: Path, database: str, case: Case) -> Iterator[Cluster]:
    """A case's servers, of one process each, on a database, until the block ends."""
    names = [f"instance-{number}" for number in range(case.instances)]
    made = [servers.tailrace(directory, database_url=database, name=name) for name in names]
    for server in made:
        server.environ["TAILRACE_PIN_WORKERS"] = "true" if case.pinned else "false"
    with servers.running(*made):
        yield Cluster(made)


def cost(case: Case, directory: Path, database: str, *, seconds: int, rounds: int) -> Cost:
    """Measure one case on an empty database.

    Parameters
    ----------
    directory
        For the servers, and where PostgreSQL is, under ``postgresql``.
    seconds, rounds
        Length of a sample, and how many; one more goes before, to warm up.
    """
    with cluster(directory, database, case) as running:
        streams = running.prepare(case)
        roots = {"server": [one.pid for one in running.running], "postgresql": [postmaster(directory / "postgresql")]}
        usage = Usage(roots)
        running.measure(case, streams, 1, 0)
        before, wal, (points, groups, size) = usage.read(), _wal(database), _log(database)
        samples = [running.measure(case, streams, seconds, number) for number in range(1, rounds + 1)]
        after, wal_after, (points_after, groups_after, size_after) = usage.read(), _wal(database), _log(database)
        _check_logs(database)
    new = points_after - points
    return Cost(
        rate=statistics.median(load.rates(samples)),
        p50_ms=statistics.median(sample.p50_ms for sample in samples),
        p99_ms=statistics.median(sample.p99_ms for sample in samples),
        cpu_us={who: 1e6 * (after[who] - before[who]) / new for who in after},
        group=new / (groups_after - groups),
        log_bytes=(size_after - size) / new,
        wal_bytes=(wal_after - wal) / new,
    )


def _check_logs(database: str) -> None:
    """Check that the log is whole: every stream's numbers are without gaps.

    Raises
    ------
    BenchError
        If one isn't.
    """
    query = (
        "SELECT s.name, s.head, sum(b.count) FROM streams_stream s JOIN streams_batch b ON b.stream_id = s.id"
        " GROUP BY s.name, s.head HAVING s.head <> sum(b.count) OR s.head <> max(b.last)"
    )
    if broken := _rows(database, query):
        raise BenchError(f"the logs of some streams have gaps: {broken[:3]}")


def _wal(database: str) -> int:
    ((size,),) = _rows(database, "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint")
    return int(size)


def _log(database: str) -> tuple[int, int, int]:
    """Observations in the log, the commits that brought them, and the bytes that it takes."""
    query = (
        "SELECT coalesce(sum(count), 0)::bigint, count(DISTINCT (stream_id, at)), pg_total_relation_size('streams_batch')"
        " FROM streams_batch"
    )
    ((points, groups, size),) = _rows(database, query)
    return int(points), int(groups), int(size)


def _rows(database: str, query: str) -> list[tuple]:
    connection = psycopg2.connect(database)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(query)
            return cursor.fetchall()
    finally:
        connection.close()
