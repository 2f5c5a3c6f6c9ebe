"""Several servers on one PostgreSQL, beside one."""

from collections.abc import Callable, Iterator

from bench import load
from bench.cluster import Case, cluster
from bench.context import Context
from bench.load import middle, rates
from bench.rows import SPECS, Row, median_ratio
from bench.usage import LOAD, Usage, postmaster


def several_servers(context: Context) -> Iterator[Row]:
    """Two and four servers of one process each, eight streams dealt out to them; by one with eight streams of its own."""
    cases = {"one": Case(), "two": Case(instances=2), "four": Case(instances=4)}
    with context.postgresql() as database, cluster(context.directory, database, cases["four"]) as running:
        streams = {name: running.prepare(case, f"{name}-") for name, case in cases.items()}
        roots = {
            "servers": [server.pid for server in running.running],
            "PostgreSQL": [postmaster(context.directory / "postgresql")],
        }
        usage = Usage(roots)
        used = {name: dict.fromkeys((*roots, LOAD), 0.0) for name in cases}

        def measured(name: str) -> Callable[[int], load.Sample]:
            def measure(seed: int) -> load.Sample:
                before = usage.read()
                sample = running.measure(cases[name], streams[name], context.seconds, seed)
                for who, seconds in usage.read().items():
                    used[name][who] += (seconds - before[who]) / sample.seconds / (context.rounds + 1)
                return sample

            return measure

        samples = load.in_turn({name: measured(name) for name in cases}, context.rounds, context.tick)
    ones = rates(samples["one"])
    for name in ("two", "four"):
        many = rates(samples[name])
        cpus = ", ".join(f"{who} {seconds:.2f}" for who, seconds in used[name].items())
        note = f"{middle(many):,.0f} /s by {middle(ones):,.0f} /s; CPUs busy: {cpus}"
        raw = load.as_json({"one": samples["one"], name: samples[name]}) | {"cpus": used}
        yield Row(SPECS[f"{name}-servers"], median_ratio(many, ones), note, raw)
