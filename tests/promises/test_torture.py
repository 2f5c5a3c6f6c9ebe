"""Models of every admitted class on one stream, under load, kills and a restart: the server answers all the others all the time."""

import contextlib
import http.client
import os
import signal
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from server.learning.pickles import loader
from tests.learning.admitted import examples
from tests.promises.neighbours import Neighbour, ask

PATIENCE = 30
"""Seconds for an answer to others, on a busy machine, with a worker that was just killed."""

OWN_PATIENCE = 240
"""Seconds for an answer to who learns into the stream of all these models: they take a minute for a point on a busy machine."""

HEAVY = (
    {"class": "facto.HOFMRegressor", "params": {"degree": 4, "n_factors": 100}},
    {"class": "forest.ARFRegressor", "params": {"n_models": 300, "seed": 1}},
    {"class": "linear_model.BayesianLinearRegression"},
    {
        "class": "compose.Pipeline",
        "steps": [
            {"class": "feature_extraction.PolynomialExtender", "params": {"degree": 5}},
            {"class": "linear_model.LinearRegression"},
        ],
    },
    {
        "class": "ensemble.BaggingRegressor",
        "params": {"model": {"class": "linear_model.LinearRegression"}, "n_models": 500},
    },
)

# The database plays no part in what models do to a process; what a kill does to it, test_crashes tries on both.
pytestmark = [pytest.mark.slow, pytest.mark.one_database, pytest.mark.timeout(600)]


def estimators():
    """One of each admitted class that predicts and learns, as uploads."""
    able = []
    for initial in examples().values():
        estimator = loader.load_state(initial)
        if callable(getattr(estimator, "learn_one", None)) and callable(getattr(estimator, "predict_one", None)):
            able.append(loader.dumps(estimator))
    assert len(able) > 100
    return able


def odd_point(n):
    x = {"a": float(n % 7), "b": -1e300 if n % 13 == 0 else n % 3, "c": f"word{n % 4}", "d": n % 2 == 0}
    if n % 17 == 0:
        x |= {f"wide{k}": float(k) for k in range(300)}
    return {"x": x, "y": float(n % 5), "key": f"odd-{n}"}


def test_the_server_answers_all_the_time(serve):
    server = serve(workers=2, threads=8, call_seconds=1, quota_models=0)
    for stream in ("s", "neighbour"):
        assert server.request("POST", "/api/v1/streams/", {"name": stream, "target": {"name": "y"}})[0] == 201
    assert server.request("POST", "/api/v1/models/", {"name": "good", "stream": "s", "recipe": "mean"})[0] == 201
    made = []
    for n, upload in enumerate(estimators()):
        status, answer = ask(server, "POST", f"/api/model/custom/m{n}/?stream=s", upload)
        assert status in (201, 400), answer
        made += [f"m{n}"] * (status == 201)
    for n, heavy in enumerate(HEAVY):
        described = {"name": f"heavy{n}", "stream": "s", "flavor": "regression", "estimator": heavy}
        status, answer = ask(server, "POST", "/api/v1/models/", described)
        assert status in (201, 400), answer
    assert len(made) > 100
    neighbour = Neighbour(server)
    neighbour.start()
    slowest, learned, stop = [], set(), threading.Event()

    def watch():
        while not stop.wait(0.05):
            began = time.monotonic()
            ask(server, "GET", "/healthz")
            slowest.append(time.monotonic() - began)

    def press(first):
        for n in range(first, 10**6, 3):
            if stop.is_set():
                return
            point = odd_point(n)
            status, answer = ask(server, "POST", "/api/v1/streams/s/observations/", point, patience=OWN_PATIENCE)
            assert status in (200, 201), answer
            learned.add(n)
            with contextlib.suppress(OSError, http.client.HTTPException):
                server.request("POST", f"/api/v1/models/{made[n % len(made)]}/predict/", {"x": point["x"]})

    pool = ThreadPoolExecutor(4)
    going_on = [pool.submit(watch), *(pool.submit(press, first) for first in range(3))]
    try:
        for wanted in (3, 6):
            wait_until(lambda wanted=wanted: len(learned) >= wanted)
            workers = subprocess.run(["pgrep", "-P", str(server.process.pid)], capture_output=True, text=True).stdout
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(workers.split()[0]), signal.SIGKILL)
        wait_until(lambda: len(learned) >= 9)
        server.kill()
        server.start()
        wait_until(lambda: len(learned) >= 12)
    finally:
        stop.set()
        pool.shutdown()
        neighbour.done()
    for one in going_on:
        one.result()
    assert max(slowest) < PATIENCE
    assert max(neighbour.waits) < PATIENCE
    status, found = ask(server, "GET", "/api/v1/streams/s/")
    assert found["head"] == len(learned)
    keys = {one["key"] for one in read_all(server)}
    assert keys == {f"odd-{n}" for n in learned}


def wait_until(there, patience=OWN_PATIENCE):
    deadline = time.monotonic() + patience
    while not there():
        assert time.monotonic() < deadline
        threading.Event().wait(0.05)


def read_all(server):
    status, page = ask(server, "GET", "/api/v1/streams/s/observations/?limit=1000")
    assert status == 200, page
    return page["observations"]
