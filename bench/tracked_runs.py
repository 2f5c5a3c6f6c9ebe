"""Times lists of runs: ``python -m bench.tracked_runs RUNS ROUNDS``, as JSON.

It runs in a process of its own, on the database that the settings name, which must be empty and migrated. The calls go through
all of the application but the socket, and the answer is whole: 20 params and 30 metrics of each run.
"""

import json
import random
import statistics
import sys
import time
from typing import Any
from uuid import UUID

PARAMS, METRICS = 20, 30


def main() -> None:
    import django

    django.setup()
    from django.test import Client

    runs, rounds = int(sys.argv[1]), int(sys.argv[2])
    fill(runs)
    client = Client(headers={"Host": "127.0.0.1:8080"})
    every = {"limit": runs}
    names = [
        *(f"params.param_{n}" for n in range(0, PARAMS, 2)),
        *(f"metrics.metric_{n}" for n in range(0, METRICS, 2)),
    ]
    found: dict[str, Any] = {}
    for what, body in (("all", every), ("chosen", {**every, "columns": names}), ("page", {"limit": 100})):
        times, busy = [], []
        for _ in range(rounds):
            began, cpu = time.perf_counter(), time.process_time()
            response = client.post("/api/v1/runs/search/", json.dumps(body), "application/json")
            data = response.content
            times.append(1000 * (time.perf_counter() - began))
            busy.append(1000 * (time.process_time() - cpu))
            assert response.status_code == 200, data
        assert len(json.loads(data)["runs"]) == min(runs, body["limit"])  # type: ignore[call-overload]
        found[what] = {"ms": statistics.median(times), "cpu": statistics.median(busy), "bytes": len(data)}
    print(json.dumps(found))


def fill(count: int) -> None:
    """Write runs that have ended straight into the tables."""
    from server.tracking import experiments, summaries
    from server.tracking.models import LatestMetric, Param, Run

    chance = random.Random(1)
    experiment = experiments.get_or_create("bench")
    for first in range(0, count, 1_000):
        made = [
            Run(
                uid=UUID(int=number).hex, experiment=experiment, name=f"run {number}", status=Run.FINISHED,
                started_ms=number, ended_ms=number + 1, heard_ms=number,
            )
            for number in range(first, min(first + 1_000, count))
        ]  # fmt: skip
        Run.objects.bulk_create(made, batch_size=500)
        params = (Param(run=run, key=f"param_{n}", value=f"{chance.random()}") for run in made for n in range(PARAMS))
        Param.objects.bulk_create(params, batch_size=5_000)
        metrics = (
            LatestMetric(run=run, key=f"metric_{n}", step=1, time_ms=1, value=chance.random(), special=0)
            for run in made
            for n in range(METRICS)
        )
        LatestMetric.objects.bulk_create(metrics, batch_size=5_000)
        summaries.refresh([run.pk for run in made])


if __name__ == "__main__":
    main()
