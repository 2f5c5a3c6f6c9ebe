"""What several large bodies take together."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from server.api import large_bodies
from server.core.errors import Unavailable
from tests.api_client import refused

THIRD = large_bodies.MOST // 3


@pytest.fixture
def others():
    """Another thread, which holds what it's told to."""
    with ThreadPoolExecutor(1) as pool:
        yield lambda call, *args: pool.submit(call, *args).result()
        pool.submit(large_bodies.leave).result()


def test_a_large_body_waits_for_the_room_that_others_take_and_a_single_one_may_take_all(others):
    others(large_bodies.hold, 2 * large_bodies.MOST)
    with pytest.raises(Unavailable, match=f"this one needs {THIRD // 2**20} MB"):
        large_bodies.hold(THIRD)
    others(large_bodies.leave)
    large_bodies.hold(THIRD)
    others(large_bodies.hold, THIRD)
    with pytest.raises(Unavailable, match=f"this one needs {3 * THIRD // 2**20} MB"):
        large_bodies.hold(2 * THIRD)
    others(large_bodies.hold, 2 * THIRD)
    large_bodies.leave()
    assert threading.get_ident() not in large_bodies._held


@pytest.mark.django_db
def test_a_request_that_finds_no_room_changes_nothing_and_one_that_is_answered_leaves_it(api, others):
    api.stream("s", target={"name": "t"})
    body = b'{"x": {"a": 1}, "y": 1' + b" " * large_bodies.LARGE + b"}"
    others(large_bodies.hold, large_bodies.MOST)
    error = refused(api.post("/api/v1/streams/s/observations/", body), 503)
    assert "try again" in error["message"]
    assert api.get("/api/v1/streams/s/").json()["head"] == 0
    others(large_bodies.leave)
    assert api.post("/api/v1/streams/s/observations/", body).status_code == 201
    assert not large_bodies._held


@pytest.mark.django_db
def test_json_that_would_keep_other_threads_from_working_for_long_is_refused(api, settings):
    settings.TAILRACE = settings.TAILRACE.model_copy(update={"max_json_bytes": large_bodies.LARGE + 100})
    api.stream("s", target={"name": "t"})
    whole = b'{"x": {"a": 1}, "y": 1' + b" " * large_bodies.LARGE + b"}"
    assert api.post("/api/v1/streams/s/observations/", whole).status_code == 201
    for path in ("streams/s/observations/", "models/m/predict/", "streams/s/cells/"):
        error = refused(api.post(f"/api/v1/{path}", whole + b" " * 100), 413)
        assert "TAILRACE_MAX_JSON_BYTES" in error["message"] and str(len(whole) + 100) in error["message"]
    lines = b'{"x": {"a": 1}, "y": 1}\n' * 50_000
    error = refused(api.post("/api/v1/streams/s/observations/", lines, content_type="application/x-ndjson"), 413)
    assert "TAILRACE_MAX_JSON_BYTES" in error["message"]
    assert api.ok("/api/v1/streams/s/")["head"] == 1


@pytest.mark.django_db
def test_a_point_that_is_too_large_to_be_stored_is_refused_and_named(api, settings):
    settings.TAILRACE = settings.TAILRACE.model_copy(update={"max_point_bytes": 65_536})
    api.stream("s", target={"name": "t"})
    api.model("m", "s", "mean")
    small, large = {"a": 1}, {f"k{n}": "é" * 500 for n in range(70)}  # 70,000 bytes, and fewer characters
    path, predict = "/api/v1/streams/s/observations/", "/api/v1/models/m/predict/"
    error = refused(api.post(path, {"x": large, "y": 1}), 413, "x")
    assert "TAILRACE_MAX_POINT_BYTES" in error["message"]
    many = {"observations": [{"x": small, "y": 1}, {"x": large, "y": 1}]}
    assert refused(api.post(path, many), 413, "observations[1].x")["code"] == "too_large"
    assert refused(api.post("/api/learn/", {"model": "m", "features": large, "ground_truth": 1}), 413)
    assert api.ok("/api/v1/streams/s/")["head"] == 0
    assert api.post(predict, {"x": large}).status_code == 200, "what is not kept takes no room"
    refused(api.post(predict, {"x": {**large, **{f"m{n}": "é" * 500 for n in range(70)}}, "track": True}), 413, "x")
    many["observations"].pop()
    many["observations"] *= 5_000  # more than one point may take, together
    assert api.post(path, many).status_code == 201


@pytest.mark.django_db
def test_a_prediction_that_the_caller_made_is_held_to_the_size_of_a_models_own(api, settings):
    api.stream("s", target={"name": "t", "kind": "any"})
    api.post("/api/v1/models/", {"name": "m", "stream": "s", "recipe": "hoeffding-tree-classifier"})
    learn = {"model": "m", "features": {"a": 1}, "ground_truth": "b"}
    error = refused(api.post("/api/learn/", {**learn, "prediction": "b" * 65_536}), 413, "prediction")
    assert "TAILRACE_MAX_PREDICTION_BYTES" in error["message"]
    assert api.post("/api/learn/", {**learn, "prediction": "b"}).status_code == 201


@pytest.mark.django_db
def test_few_very_large_bodies_come_in_at_once_and_small_ones_do_not_wait_for_them(api, others):
    api.stream("s", target={"name": "t"})
    body = b'{"x": {"a": 1}, "y": 1' + b" " * large_bodies.LARGE_TO_READ + b"}"
    rooms = [large_bodies.room_to_read(large_bodies.LARGE_TO_READ) for _ in range(large_bodies.MOST_READ)]
    for room in rooms:
        others(room.__enter__)
    error = refused(api.post("/api/v1/streams/s/observations/", body), 503)
    assert "being received already; try again" in error["message"]
    assert api.post("/api/v1/streams/s/observations/", {"x": {"a": 1}, "y": 1}).status_code == 201
    others(rooms.pop().__exit__, None, None, None)
    for _ in range(2):
        assert api.post("/api/v1/streams/s/observations/", body).status_code == 201, "each leaves its room"
    for room in rooms:
        others(room.__exit__, None, None, None)
    assert api.ok("/api/v1/streams/s/")["head"] == 3
