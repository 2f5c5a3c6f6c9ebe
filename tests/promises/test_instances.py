"""The first five promises with one, two and four servers on one database, each a process tree of its own as a pod is."""

import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.instances import instances
from tests.promises.folding import everything, folded
from tests.promises.jobs import Job, acknowledged
from tests.serving import PATIENCE, Server, fresh_database

pytestmark = pytest.mark.postgresql

JOBS, POINTS = 12, 36
STREAMS = ("s0", "s1", "s2")
SETTINGS = {"workers": 1, "threads": 8, "snapshot_points": 40, "snapshot_seconds": 1}


def create(server: Server, stream: str, **models: str) -> None:
    """A stream, and models on it: name to recipe."""
    assert server.post("/api/v1/streams/", {"name": stream, "target": {"name": "t", "unit": "s"}})[0] == 201
    for name, recipe in models.items():
        status, data = server.post("/api/v1/models/", {"name": name, "stream": stream, "recipe": recipe})
        assert status == 201, data


@pytest.mark.parametrize(
    "count", [pytest.param(1, marks=pytest.mark.combinations), 2, pytest.param(4, marks=pytest.mark.combinations)]
)
def test_the_promises_hold_under_load_while_servers_are_killed_at_random(tmp_path: Path, count: int):
    chance = random.Random(count)
    with fresh_database("instances") as database, instances(tmp_path, database, *[SETTINGS] * count) as servers:
        for n, stream in enumerate(STREAMS):
            create(servers[n % count], stream, **{f"linear-{stream}": "linear"})
        draws = {"name": "forest", "stream": STREAMS[0], "recipe": "forest"}  # random numbers, as it learns
        assert servers[-1].post("/api/v1/models/", draws)[0] == 201
        jobs = [Job(number, servers, list(STREAMS), POINTS) for number in range(JOBS)]
        for job in jobs:
            job.start()
        kills = min(count, 2)
        for kill in range(1, kills + 1):
            while acknowledged(jobs) < JOBS * POINTS * kill // (kills + 1):
                assert any(job.is_alive() for job in jobs)
                threading.Event().wait(0.01)
            victim = chance.choice(servers)
            victim.kill()
            victim.start()
        for job in jobs:
            job.join(2 * PATIENCE)
        assert [wrong for job in jobs for wrong in job.wrong] == []
        assert acknowledged(jobs) == JOBS * POINTS
        assert sum(job.retries for job in jobs) > 0, "no job noticed that a server was killed"

        given = {key: seq for job in jobs for key, seq in job.acknowledged.items()}
        for stream in STREAMS:
            log, *others = (everything(server, stream) for server in servers)
            assert [observation["seq"] for observation in log] == list(range(1, len(log) + 1))
            assert {(stream, o["key"]): o["seq"] for o in log} == {k: seq for k, seq in given.items() if k[0] == stream}
            assert all(other == log for other in others)
            expected = folded(log)
            for server in servers:
                served = server.get(f"/api/v1/models/linear-{stream}/metrics/")[1]
                assert (served["at"], served["learned"]) == (len(log), len(log))
                assert {name: served["metrics"][name] for name in expected} == expected
        forests = [server.get("/api/v1/models/forest/metrics/")[1]["metrics"] for server in servers]
        assert forests == forests[:1] * count
        done = servers[-1].manage("verify_model", "forest", *[f"linear-{stream}" for stream in STREAMS])
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Server]]:
    directory = tmp_path_factory.mktemp("two")
    with fresh_database("two") as database, instances(directory, database, SETTINGS, SETTINGS) as servers:
        yield servers[0], servers[1]


def test_one_key_sent_to_two_servers_at_once_is_learned_once_and_answered_alike(two: tuple[Server, Server]):
    create(two[0], "once", once="linear")
    rounds = 40
    together = threading.Barrier(2)

    def post(server: Server) -> list[Any]:
        answers = []
        for n in range(rounds):
            together.wait(PATIENCE)
            body = {"x": {"a": n}, "y": 2 * n, "key": f"job-{n}"}
            answers.append(server.post("/api/v1/streams/once/observations/", body))
        return answers

    with ThreadPoolExecutor(2) as pool:
        ours, theirs = pool.map(post, two)
    duplicates = []
    for n, ((status, one), (other_status, other)) in enumerate(zip(ours, theirs, strict=True)):
        assert (status, other_status) == (201, 201)
        assert one["first"] == other["first"] == n + 1
        assert one["models"] == other["models"]
        duplicates.append((one["duplicates"], other["duplicates"]))
    assert set(duplicates) <= {(0, 1), (1, 0)}
    for server in two:
        assert server.get("/api/v1/models/once/metrics/")[1]["learned"] == rounds


def test_what_one_server_learned_the_other_predicts_with_the_next_instant(two: tuple[Server, Server]):
    create(two[0], "turns", turns="mean")
    total = 0.0
    for n in range(1, 41):
        learning, asked = two[n % 2], two[(n + 1) % 2]
        assert learning.post("/api/v1/streams/turns/observations/", {"x": {"a": n}, "y": n})[1]["last"] == n
        total += n
        status, answer = asked.post("/api/v1/models/turns/predict/", {"x": {"a": 1}})
        assert (status, answer["at"]) == (200, n)
        assert answer["prediction"] == pytest.approx(total / n)
        assert asked.get("/api/v1/models/turns/metrics/")[1]["learned"] == n


def test_a_prediction_made_by_one_server_gets_its_label_through_the_other_once(two: tuple[Server, Server]):
    create(two[0], "late", late="mean")
    assert two[0].post("/api/v1/streams/late/observations/", {"x": {"a": 1}, "y": 10})[0] == 201
    status, kept = two[0].post("/api/v1/models/late/predict/", {"x": {"a": 1}, "identifier": "job-7"})
    assert (status, kept["prediction"]) == (200, 10)
    first, again = (server.post("/api/v1/predictions/job-7/label/", {"y": 0})[1] for server in reversed(two))
    assert (first["last"], first["duplicates"]) == (2, 0)
    assert (again["last"], again["duplicates"]) == (2, 1)
    assert [server.get("/api/v1/models/late/metrics/")[1]["metrics"]["MAE"] for server in two] == [10, 10]


def test_a_model_made_or_deleted_through_one_server_is_there_or_gone_on_the_other_at_once(two: tuple[Server, Server]):
    create(two[0], "models", stays="mean")
    for n in range(5):
        assert two[n % 2].post("/api/v1/streams/models/observations/", {"x": {"a": n}, "y": n})[0] == 201
    body = {"name": "new", "stream": "models", "recipe": "mean", "backfill": False}
    assert two[0].post("/api/v1/models/", body)[0] == 201
    receipt = two[1].post("/api/v1/streams/models/observations/", {"x": {"a": 6}, "y": 6})[1]
    assert set(receipt["models"]) == {"stays", "new"}
    assert two[1].request("DELETE", "/api/v1/models/new/")[0] in (200, 204)
    assert two[0].post("/api/v1/models/new/predict/", {"x": {"a": 1}})[0] == 404
    receipt = two[0].post("/api/v1/streams/models/observations/", {"x": {"a": 7}, "y": 7})[1]
    assert set(receipt["models"]) == {"stays"}
