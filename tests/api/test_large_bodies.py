"""What several large bodies take together."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from server.api import large_bodies
from server.streams.errors import Unavailable
from tests.api.conftest import refused

THIRD = large_bodies.MOST // 3


@pytest.fixture
def others():
    """Another thread, which holds what it's told to."""
    with ThreadPoolExecutor(1) as pool:
        yield lambda call, *args: pool.submit(call, *args).result()
        pool.submit(large_bodies.leave).result()


def test_a_large_body_waits_for_the_room_that_others_take_and_a_single_one_may_take_all(others):
    others(large_bodies.hold, 2 * large_bodies.MOST)
    with pytest.raises(Unavailable, match="this one would take 256 MB"):
        large_bodies.hold(THIRD)
    others(large_bodies.leave)
    large_bodies.hold(THIRD)
    others(large_bodies.hold, THIRD)
    with pytest.raises(Unavailable, match="this one would take 768 MB"):
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
