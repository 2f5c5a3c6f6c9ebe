"""Several servers on one PostgreSQL, beside one."""

from collections.abc import Iterator

from bench import load
from bench.cluster import Case, cluster
from bench.context import Context
from bench.load import middle, rates
from bench.rows import SPECS, Row, median_ratio
from bench.usage import LOAD, Usage, postmaster


def two_servers(context: Context) -> Iterator[Row]:
    """Two servers of one process each, eight streams, four to each; by one of them with eight streams of its own."""
    alone, both = Case(), Case(instances=2)
    with context.postgresql() as database, cluster(context.directory, database, both) as running:
        streams = {"one": running.prepare(alone, "one-"), "two": running.prepare(both, "two-")}
        roots = {
            "servers": [server.pid for server in running.running],
            "PostgreSQL": [postmaster(context.directory / "postgresql")],
        }
        usage = Usage(roots)
        used = dict.fromkeys((*roots, LOAD), 0.0)

        def together(seed: int) -> load.Sample:
            before = usage.read()
            sample = running.measure(both, streams["two"], context.seconds, seed)
            for who, seconds in usage.read().items():
                used[who] += (seconds - before[who]) / sample.seconds / (context.rounds + 1)
            return sample

        systems = {"one": lambda seed: running.measure(alone, streams["one"], context.seconds, seed), "two": together}
        samples = load.in_turn(systems, context.rounds, context.tick)
    ones, twos = rates(samples["one"]), rates(samples["two"])
    cpus = ", ".join(f"{who} {seconds:.2f}" for who, seconds in used.items())
    note = f"{middle(twos):,.0f} /s by {middle(ones):,.0f} /s; CPUs busy with two: {cpus}"
    yield Row(SPECS["two-servers"], median_ratio(twos, ones), note, load.as_json(samples) | {"cpus": used})
