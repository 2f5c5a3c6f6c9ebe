"""A real server with a stream of run times and models that have learned from them, for tests that only ask."""

import random
from collections.abc import Iterator

import pytest

from tests.serving import Server, fresh_database

STREAM = "lammps-runtime"
POINTS = 120


def run_times(count: int = POINTS, seed: int = 7) -> list[dict]:
    """Observations of a machine whose run time follows x·y·z, with a noise of 4 %."""
    chance = random.Random(seed)
    found = []
    for number in range(count):
        x = {name: chance.randint(1, 20) for name in "xyz"}
        seconds = (3 + 0.02 * x["x"] * x["y"] * x["z"]) * chance.lognormvariate(0, 0.04)
        found.append({"x": x, "y": round(seconds, 3), "key": f"run-{seed}-{number}", "source": {"job": number}})
    return found


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server; its stream is `lammps-runtime`, its models are `runtime`, `linear` and `mean`."""
    with fresh_database("client") as database:
        server = Server(tmp_path_factory.mktemp("served") / "var", database, workers=1, threads=8).start()
        try:
            target = {"name": "loop_time", "unit": "s"}
            body = {"name": STREAM, "target": target, "features": ["x", "y", "z"], "description": "melts"}
            assert server.post("/api/v1/streams/", body)[0] == 201
            for recipe in ("runtime", "linear", "mean"):
                body = {"name": recipe, "stream": STREAM, "recipe": recipe}
                assert server.post("/api/v1/models/", body)[0] == 201
            observations = {"observations": run_times()}
            assert server.post(f"/api/v1/streams/{STREAM}/observations/", observations)[0] == 201
            yield server
        finally:
            server.kill()
