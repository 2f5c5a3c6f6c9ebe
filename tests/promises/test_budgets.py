"""A model that hangs, crashes or eats memory is stopped from outside, and nobody else notices more than a moment's wait."""

import contextlib
import http.client
import operator
import os
import pickle
import subprocess
import threading
import time
from functools import partial

import pytest
from river import feature_extraction, linear_model
from river.feature_extraction.vectorize import tokenize_using_regex_pattern

from tests import preloaded
from tests.promises import harmful
from tests.promises.neighbours import Neighbour, ask
from tests.serving import PATIENCE

SECONDS = 1
"""The budget of one call, in these tests."""

BOUND = SECONDS + 1 + 3
"""Seconds that a neighbour may wait, if the machine does nothing else: the budget, a second, and the start of a process."""

OBSERVATIONS = "/api/v1/streams/s/observations/"


@pytest.fixture(params=["gunicorn", pytest.param("granian", marks=pytest.mark.one_database)])
def served(request, serve):
    """A server with an innocent model and a harmful one on stream s, and a neighbour who goes on beside."""
    server = serve(
        server=request.param,
        workers=2,
        threads=8,
        trusted_modules=harmful.__name__,
        call_seconds=SECONDS,
        call_memory_mb=150,  # a machine that gives memory slowly must not come to the budget of time first
    )
    for stream in ("s", "neighbour"):
        assert ask(server, "POST", "/api/v1/streams/", {"name": stream, "target": {"name": "y"}})[0] == 201
        described = {"name": f"good-{stream}", "stream": stream, "recipe": "mean"}
        assert ask(server, "POST", "/api/v1/models/", described)[0] == 201
    upload(server, "harmful")
    learned = server.request("POST", OBSERVATIONS, {"x": {"a": 1.0}, "y": 1.0})
    assert learned[1]["models"].keys() == {"good-s", "harmful"}
    return server


def upload(server, name):
    status, answer = server.request("POST", f"/api/model/custom/{name}/?stream=s", pickle.dumps(harmful.Harmful()))
    assert status == 201, answer


@contextlib.contextmanager
def a_neighbour(server):
    neighbour = Neighbour(server)
    neighbour.start()
    try:
        yield neighbour
    finally:
        neighbour.done()
    assert max(neighbour.waits) < BOUND


def status(server, name="harmful"):
    return ask(server, "GET", f"/api/v1/models/{name}/")[1]


def until(server, wanted, name="harmful"):
    deadline = time.monotonic() + 60
    while (found := status(server, name))["status"] != wanted:
        assert time.monotonic() < deadline, found
        threading.Event().wait(0.05)
    return found


def verify(server, *names):
    said = preloaded.run(
        ["manage.py", "verify_model", *names], server.environment | {"TAILRACE_METRICS": "off"}, 4 * PATIENCE
    )
    assert said.returncode == 0, said.stdout + said.stderr


def is_well_after_a_restart(server):
    """It starts, answers at once, and every model is what its log says."""
    server.kill()
    server.start()
    began = time.monotonic()
    assert ask(server, "POST", OBSERVATIONS, {"x": {"a": 2.0}, "y": 2.0})[0] == 201
    assert ask(server, "POST", "/api/v1/models/good-neighbour/predict/", {"x": {"a": 2.0}})[0] == 200
    assert time.monotonic() - began < 10
    verify(server, "good-s", "harmful", "good-neighbour")


HARMS = {
    "loop": "took", "hold the lock": "took", "eat": "grew by", "abort": "Aborted", "crash": "Segmentation fault", "recurse": "Segm",
}  # fmt: skip


@pytest.mark.parametrize(
    "how",
    [
        "loop",
        pytest.param("hold the lock", marks=pytest.mark.one_database),
        pytest.param("eat", marks=pytest.mark.one_database),
        "crash",
        pytest.param("abort", marks=[pytest.mark.one_database, pytest.mark.combinations]),
        pytest.param("recurse", marks=[pytest.mark.one_database, pytest.mark.combinations]),
    ],
)
def test_a_model_that_does_harm_as_it_learns_is_quarantined_and_the_point_is_learned_by_the_others(served, how):
    with a_neighbour(served):
        answer = ask(served, "POST", OBSERVATIONS, {"x": {"a": 1.0, "learn": how}, "y": 1.0, "key": "harm"})
        assert answer[0] in (200, 201)
        assert list(answer[1]["models"]) == ["good-s"]
        found = until(served, "quarantined")
        assert HARMS[how] in found["quarantine"]["reason"]
        assert (found["quarantine"]["since"], found["quarantine"]["observation"]) == (2, 2)
        asked = ask(served, "POST", "/api/v1/models/harmful/predict/", {"x": {"a": 1.0}})
        assert (asked[0], asked[1]["error"]["code"]) == (409, "quarantined")
    _, stream = ask(served, "GET", "/api/v1/streams/s/")
    assert stream["head"] == 2
    if how in ("hold the lock", "abort"):
        is_well_after_a_restart(served)


@pytest.mark.one_database
@pytest.mark.parametrize("how", ["hold the lock", "abort"])
def test_a_model_that_does_harm_as_it_predicts_is_quarantined(served, how):
    with a_neighbour(served):
        with contextlib.suppress(OSError, http.client.HTTPException):
            served.request("POST", "/api/v1/models/harmful/predict/", {"x": {"a": 1.0, "predict": how}})
        assert until(served, "quarantined")["quarantine"]["call"] == "predict"
    verify(served, "good-s", "harmful")


def test_a_model_that_hangs_in_its_backfill_is_quarantined_and_holds_nobody_up(served):
    """The point that it hangs on is in the middle of the history, so that its trial goes well."""
    ask(served, "DELETE", "/api/v1/models/harmful/")
    points = [{"x": {"a": float(n), **({"learn": "hold the lock"} if n == 700 else {})}, "y": 1.0} for n in range(1500)]
    assert served.request("POST", OBSERVATIONS, {"observations": points})[0] == 201
    with a_neighbour(served):
        upload(served, "harmful")
        found = until(served, "quarantined")
        assert (found["quarantine"]["call"], found["quarantine"]["observation"]) == ("replay", 702)
        assert ask(served, "POST", OBSERVATIONS, {"x": {"a": 1.0}, "y": 1.0})[0] == 201
        assert ask(served, "DELETE", "/api/v1/models/harmful/")[0] == 204
    upload(served, "harmful")
    until(served, "quarantined")
    is_well_after_a_restart(served)


@pytest.mark.one_database
@pytest.mark.parametrize("served", ["gunicorn"], indirect=True)  # in a process of its own, whichever server asks for it
def test_what_hangs_where_it_is_tried_is_refused_and_ends_no_worker(served):
    ask(served, "POST", OBSERVATIONS, {"x": {"a": 1.0, "learn": "hold the lock"}, "y": 1.0})
    until(served, "quarantined")
    with a_neighbour(served):
        refused = served.request("POST", "/api/model/custom/another/?stream=s", pickle.dumps(harmful.Harmful()))
        assert (refused[0], refused[1]["error"]["code"]) == (400, "not_servable")
        kept = served.request("POST", "/api/v1/models/harmful/release/")
        assert (kept[0], kept[1]["error"]["code"]) == (409, "quarantined")
    assert served.log.read_text().count("killing worker") == 1


@pytest.mark.parametrize("served", ["gunicorn"], indirect=True)
def test_released_it_catches_up_and_learns_again(served):
    served.request("POST", OBSERVATIONS, {"x": {"a": 5.0}, "y": 1.0})
    with contextlib.suppress(OSError, http.client.HTTPException):
        served.request("POST", "/api/v1/models/harmful/predict/", {"x": {"a": 1.0, "predict": "abort"}})
    until(served, "quarantined")
    assert ask(served, "POST", OBSERVATIONS, {"x": {"a": 3.0}, "y": 3.0})[1]["models"].keys() == {"good-s"}
    assert ask(served, "POST", "/api/v1/models/harmful/release/")[0] == 200
    until(served, "ready")
    assert ask(served, "POST", OBSERVATIONS, {"x": {"a": 3.0}, "y": 3.0})[1]["models"].keys() == {"good-s", "harmful"}
    is_well_after_a_restart(served)


@pytest.mark.one_database
def test_a_slow_model_takes_no_threads_from_other_streams(served):
    """Each call stays within its budget, and many ask for it at once: some are told to try again."""
    work = {"x": {"a": 1.0, "work": 300_000}, "y": 1.0}
    answers = []

    def press():
        with contextlib.suppress(OSError, http.client.HTTPException):
            answers.append(served.request("POST", OBSERVATIONS, work)[0])

    threads = [threading.Thread(target=press) for _ in range(20)]
    with a_neighbour(served):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert set(answers) <= {201, 503}
    assert answers.count(201) > 0
    _, stream = ask(served, "GET", "/api/v1/streams/s/")
    assert stream["head"] == 1 + answers.count(201)
    verify(served, "good-s", "harmful")


@pytest.mark.one_database
def test_a_worker_that_is_only_stopped_for_a_while_gets_no_model_into_quarantine(served):
    """A debugger, a suspended machine: the supervisor counts the time in which the process could work."""
    tree = subprocess.run(["pgrep", "-P", str(served.process.pid)], capture_output=True, text=True).stdout.split()
    for pid in tree:
        os.kill(int(pid), 19)
    pressing = [
        threading.Thread(target=partial(ask, served, "POST", OBSERVATIONS, {"x": {"a": 1.0}, "y": 1.0}))
        for _ in range(4)
    ]
    for thread in pressing:
        thread.start()
    threading.Event().wait(3 * SECONDS)  # longer than any call may take
    for pid in tree:
        os.kill(int(pid), 18)
    for thread in pressing:
        thread.join()
    assert status(served)["status"] == "ready"


@pytest.mark.one_database
def test_a_pattern_out_of_the_data_can_not_be_had_for_a_long_text(serve):
    """River's own parts, found admissible one by one: a text given in advance, matched against what a point says."""
    server = serve(workers=1, threads=4)
    assert server.request("POST", "/api/v1/streams/", {"name": "s", "target": {"name": "y"}})[0] == 201
    words = feature_extraction.BagOfWords(on="a")
    words.processing_steps = [operator.itemgetter("a"), partial(tokenize_using_regex_pattern, harmful.LONG)]
    status, answer = server.request(
        "POST", "/api/model/regression/harmful/?stream=s", pickle.dumps(words | linear_model.LinearRegression(), 4)
    )
    assert (status, answer["error"]["code"]) == (400, "invalid")
    assert "tokenize" in answer["error"]["message"]
