"""However busy some streams are, and whatever is asked of them, the others have threads."""

import contextlib
import http.client
import pickle
import threading
from collections import Counter

import pytest

from tests.promises import harmful
from tests.promises.neighbours import Neighbour, ask
from tests.serving import Server, fresh_database

BOUND = 2 + 1 + 2
"""How long a neighbour may wait: the budget of a call, a second, and what a busy machine adds, s."""

SLOW = 150_000
"""Work in one point: about a quarter of a second, well within the budget."""


@pytest.fixture(scope="module", params=["gunicorn", pytest.param("granian", marks=pytest.mark.one_database)])
def served(request, tmp_path_factory):
    """A server with slow models on some streams, and a quick one on another."""
    directory = tmp_path_factory.mktemp("busy") / "var"
    with fresh_database("busy") as database:
        server = Server(
            directory, database, server=request.param, workers=1, threads=8, trusted_modules=harmful.__name__
        ).start()
        for stream in ("neighbour", *STREAMS):
            assert server.request("POST", "/api/v1/streams/", {"name": stream, "target": {"name": "y"}})[0] == 201
            made = pickle.dumps(harmful.Harmful())
            assert server.request("POST", f"/api/model/custom/of-{stream}/?stream={stream}", made)[0] == 201
        yield server
        server.kill()


STREAMS = ("a", "b", "c", "d")


def pressed(server, method, asked, threads):
    """What becomes of the requests, sent from so many threads at once while a neighbour goes on; how often which status."""
    waiting = list(asked)
    statuses = Counter()

    def press():
        while True:
            try:
                path, body = waiting.pop()
            except IndexError:
                return
            with contextlib.suppress(OSError, http.client.HTTPException):
                statuses[server.request(method, path, body)[0]] += 1

    neighbour = Neighbour(server)
    neighbour.start()
    try:
        pressing = [threading.Thread(target=press) for _ in range(threads)]
        for thread in pressing:
            thread.start()
        for thread in pressing:
            thread.join()
    finally:
        neighbour.done()
    assert max(neighbour.waits) < BOUND
    assert sum(statuses.values()) == len(asked)
    return statuses


@pytest.mark.one_database
def test_several_slow_streams_leave_threads_to_others(served):
    points = [
        (f"/api/v1/streams/{stream}/observations/", {"x": {"a": 1.0, "work": SLOW}, "y": 1.0}) for stream in STREAMS
    ]
    statuses = pressed(served, "POST", points * 10, 32)
    assert statuses.keys() <= {201, 503}
    assert statuses[201] >= len(STREAMS)
    heads = [ask(served, "GET", f"/api/v1/streams/{stream}/")[1]["head"] for stream in STREAMS]
    assert sum(heads) == statuses[201]


def test_the_first_long_requests_to_many_streams_leave_threads_to_others(served):
    """Nobody knows yet that these take long."""
    points = {"observations": [{"x": {"a": 1.0, "work": SLOW // 40}, "y": 1.0}] * 100}
    asked = [(f"/api/v1/streams/new{n}/observations/", points) for n in range(12)]
    for n in range(12):
        stream = f"new{n}"
        assert ask(served, "POST", "/api/v1/streams/", {"name": stream, "target": {"name": "y"}})[0] == 201
        made = pickle.dumps(harmful.Harmful())
        assert served.request("POST", f"/api/model/custom/of-{stream}/?stream={stream}", made)[0] == 201
    statuses = pressed(served, "POST", asked, 12)
    assert statuses.keys() <= {201, 413, 503}  # 413: a busy machine took too long for those that went on
    assert statuses[503] > 0


@pytest.mark.one_database
def test_looking_back_takes_few_threads(served):
    """It folds a part of the log anew, which takes as long as that part."""
    for _ in range(20):
        assert (
            ask(served, "POST", "/api/v1/streams/a/observations/", {"x": {"a": 1.0, "work": SLOW // 2}, "y": 1.0})[0]
            == 201
        )
    head = ask(served, "GET", "/api/v1/streams/a/")[1]["head"]
    asked = [f"/api/v1/models/of-a/?at={head - 1 - n % 8}" for n in range(16)]
    statuses = pressed(served, "GET", [(path, None) for path in asked], 16)
    assert statuses.keys() <= {200, 503}  # a busy machine may have no time for any of them
    assert statuses[503] > 0
    assert ask(served, "GET", asked[0])[0] == 200


def test_changes_that_wait_for_a_busy_stream_take_few_threads(served):
    """A retraction of what isn't there waits for the stream's lock all the same."""
    points = [{"x": {"a": 1.0, "work": SLOW // 2}, "y": 1.0}] * 24
    learning = threading.Thread(
        target=ask, args=(served, "POST", "/api/v1/streams/b/observations/", {"observations": points})
    )
    learning.start()
    path = "/api/v1/streams/b/observations/999999999/retract/"
    statuses = pressed(served, "POST", [(path, {"reason": "wrong"})] * 40, 20)
    learning.join()
    assert statuses.keys() <= {404, 503}
    assert statuses[503] > 0
