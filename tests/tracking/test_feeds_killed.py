"""A feed through real server processes that are killed while they post."""

import threading

import pytest

from tests.serving import Server, fresh_database
from tests.tracking.served import metrics

pytestmark = pytest.mark.database
RUNS = 150


def observations(server):
    status, found = server.get("/api/v1/streams/losses/observations/?limit=1000")
    assert status == 200, found
    return found["observations"]


def finish(server, number):
    """A run whose loss tells its number."""
    path = f"/api/v1/runs/{number:032x}/"
    assert server.request("PUT", path, {"experiment": "sweep", "params": {"lr": str(number)}})[0] in (200, 201)
    lines = [metrics(0, loss=float(number)), {"kind": "status", "status": "FINISHED", "time_ms": 2_000_000_000_000}]
    assert server.post(f"{path}lines/", {"writer": "w", "first": 0, "lines": lines})[0] == 200


def until(what):
    while not what():
        threading.Event().wait(0.05)


def test_each_run_is_one_observation_though_processes_are_killed_while_they_post(tmp_path):
    with fresh_database("feeds") as database:
        server = Server(tmp_path / "var", database, workers=2, threads=4).start()
        try:
            assert server.post("/api/v1/streams/", {"name": "losses", "target": {"name": "loss"}})[0] == 201
            assert server.post("/api/v1/models/", {"name": "mean", "stream": "losses", "recipe": "mean"})[0] == 201
            number = server.post("/api/v1/experiments/", {"name": "sweep"})[1]["id"]
            for one in range(RUNS):
                finish(server, one)
            feed = {"stream": "losses", "params": {"lr": "number"}, "metric": "loss"}
            assert server.post(f"/api/v1/experiments/{number}/feeds/", feed)[0] == 201
            until(lambda: observations(server))
            finish(server, RUNS)
            server.kill()
            server.start()
            path = f"/api/v1/experiments/{number}/feeds/losses/"
            until(lambda: server.get(path)[1]["runs"]["due"] == 0)
            assert server.get(path)[1]["runs"] == {"due": 0, "posted": RUNS + 1, "left_out": 0}
            assert sorted(one["y"] for one in observations(server)) == [float(n) for n in range(RUNS + 1)]
        finally:
            server.stop()
