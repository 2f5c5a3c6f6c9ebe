"""Acknowledged is durable, exactly once, in one order: real servers, real kills, clients that retry with their keys."""

import http.client
import json
import threading
import time

import pytest

from tests.promises.folding import everything, folded

pytestmark = [pytest.mark.both_servers, pytest.mark.database]

CLIENTS = 16
POINTS = 40
KILLS = 3


class Poster(threading.Thread):
    """One job after another, each posting its point until it is acknowledged."""

    def __init__(self, port, number, streams):
        super().__init__()
        self.port, self.number, self.streams = port, number, streams
        self.acknowledged = {}
        self.retries = 0
        self.wrong = []

    def run(self):
        connection = None
        for n in range(POINTS):
            stream = self.streams[(self.number + n) % len(self.streams)]
            key = f"{self.number}-{n}"
            body = json.dumps({"x": {"a": self.number, "b": n}, "y": self.number + 2.0 * n, "key": key})
            deadline = time.monotonic() + 90
            while time.monotonic() < deadline:
                try:
                    if connection is None:
                        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
                    connection.request("POST", f"/api/v1/streams/{stream}/observations/", body)
                    answer = connection.getresponse()
                    data = json.loads(answer.read())
                except (OSError, http.client.HTTPException, ValueError):
                    connection = None
                    self.retries += 1
                    threading.Event().wait(0.05)
                    continue
                if answer.status == 201:
                    self.acknowledged[stream, key] = data["first"]
                    break
                if answer.status != 503:
                    self.wrong.append((answer.status, data))
                    break
            else:
                self.wrong.append(("never acknowledged", key))


@pytest.mark.parametrize("count", [1, 8], ids=["one stream", "eight streams"])
def test_nothing_acknowledged_is_lost_or_doubled_when_the_server_is_killed(serve, count):
    server = serve(workers=2, threads=8, snapshot_points=50, snapshot_seconds=1)
    streams = [f"s{n}" for n in range(count)]
    for stream in streams:
        assert server.post("/api/v1/streams/", {"name": stream, "target": {"name": "t", "unit": "s"}})[0] == 201
        assert server.post("/api/v1/models/", {"name": f"m-{stream}", "stream": stream, "recipe": "linear"})[0] == 201
    posters = [Poster(server.port, number, streams) for number in range(CLIENTS)]
    for poster in posters:
        poster.start()
    total = CLIENTS * POINTS
    for kill in range(1, KILLS + 1):
        while sum(len(poster.acknowledged) for poster in posters) < total * kill // (KILLS + 1):
            assert any(poster.is_alive() for poster in posters)
            threading.Event().wait(0.01)
        server.kill()
        server.start()
    for poster in posters:
        poster.join(120)
    assert [wrong for poster in posters for wrong in poster.wrong] == []
    assert sum(poster.retries for poster in posters) > 0
    acknowledged = {key: seq for poster in posters for key, seq in poster.acknowledged.items()}
    assert len(acknowledged) == total

    for stream in streams:
        log = everything(server, stream)
        assert [observation["seq"] for observation in log] == list(range(1, len(log) + 1))
        assert {(stream, o["key"]): o["seq"] for o in log} == {k: s for k, s in acknowledged.items() if k[0] == stream}
        served = server.get(f"/api/v1/models/m-{stream}/metrics/")[1]
        assert served["at"] == len(log)
        expected = folded(log)
        assert {name: served["metrics"][name] for name in expected} == expected
    done = server.manage("verify_model", *[f"m-{stream}" for stream in streams])
    assert done.returncode == 0, done.stdout + done.stderr


def test_it_reads_its_writes_on_every_worker(server):
    """After a 2xx to learn, any predict or metrics call on any worker reflects it."""
    server.post("/api/v1/streams/", {"name": "s", "target": {"name": "t", "unit": "s"}})
    server.post("/api/v1/models/", {"name": "m", "stream": "s", "recipe": "mean"})
    for n in range(1, 40):
        assert server.post("/api/v1/streams/s/observations/", {"x": {"a": n}, "y": n})[1]["last"] == n
        seen = [server.post("/api/v1/models/m/predict/", {"x": {"a": 1}})[1] for _ in range(4)]
        assert [answer["at"] for answer in seen] == [n] * 4
        assert len({answer["prediction"] for answer in seen}) == 1
        assert server.get("/api/v1/models/m/metrics/")[1]["at"] == n


def test_stats_are_the_same_on_every_worker(server):
    server.post("/api/v1/streams/", {"name": "s", "target": {"name": "t", "unit": "s"}})
    server.post("/api/v1/models/", {"name": "m", "stream": "s", "recipe": "mean"})
    for n in range(10):
        server.post("/api/v1/streams/s/observations/", {"x": {"a": n}, "y": n})
        server.post("/api/v1/models/m/predict/", {"x": {"a": 1}})
        assert server.post("/api/v1/models/m/predict/", {"x": {}})[0] == 400  # refused calls don't count
    for _ in range(8):
        found = server.get("/api/v1/models/m/stats/")[1]
        assert (found["learn"]["n_calls"], found["predict"]["n_calls"]) == (10, 10)


def test_a_stop_under_load_answers_what_is_in_flight(server):
    server.post("/api/v1/streams/", {"name": "s", "target": {"name": "t", "unit": "s"}})
    posters = [Poster(server.port, number, ["s"]) for number in range(8)]
    for poster in posters:
        poster.start()
    while sum(len(poster.acknowledged) for poster in posters) < 40:
        threading.Event().wait(0.01)
    assert server.stop() in (0, -15)
    server.start()
    for poster in posters:
        poster.join(120)
        assert poster.wrong == []
    keys = [observation["key"] for observation in everything(server, "s")]
    assert len(keys) == len(set(keys)) == 8 * POINTS
