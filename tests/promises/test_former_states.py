"""Former states of models (``?at=``) are replayed within a time limit, and by few at once of each caller."""

import contextlib
import pickle

import pytest

from server.api.v1 import coverage
from server.learning import inspection
from tests import people
from tests.accounts.calls import signed_in
from tests.promises import harmful
from tests.promises.neighbours import ask

SLOW = 60_000
"""Work in one point: about a tenth of a second."""


@pytest.mark.one_database
def test_a_replay_that_takes_too_long_ends_and_names_the_states_that_need_none(serve):
    server = serve(
        workers=1, threads=4, block_seconds=0.5, call_seconds=5, snapshot_points=1_000, trusted_modules=harmful.__name__
    )
    assert ask(server, "POST", "/api/v1/streams/", {"name": "s", "target": {"name": "y"}})[0] == 201
    assert server.request("POST", "/api/model/custom/slow/?stream=s", pickle.dumps(harmful.Harmful()))[0] == 201
    point = {"x": {"a": 1.0, "work": SLOW}, "y": 1.0}
    for _ in range(60):
        assert ask(server, "POST", "/api/v1/streams/s/observations/", point)[0] == 201
    for path in ("", "metrics/", "download/"):
        status, answer = ask(server, "GET", f"/api/v1/models/slow/{path}?at=59")
        message = answer["error"]["message"]
        assert status in (413, 503), message
        if status == 413:
            assert answer["error"]["code"] == "too_slow"
            assert "model slow takes more than 0.5 s for the replay of observations 1 to 59 (it came to " in message
        assert "ask for an observation whose state is stored (0), or for one shortly after" in message
    assert ask(server, "GET", "/api/v1/models/slow/?at=0")[1]["learned"] == 0
    assert ask(server, "GET", "/api/v1/models/slow/?at=1")[1]["learned"] == 1
    assert ask(server, "GET", "/api/v1/models/slow/?at=60")[1]["learned"] == 60


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("slots", "path"),
    [
        (inspection.LOOKING_BACK, "?at=1"),
        (inspection.LOOKING_BACK, "metrics/?at=1"),
        (inspection.LOOKING_BACK, "download/?at=1"),
        (coverage.COMPUTING, "coverage/"),
    ],
)
def test_each_caller_and_each_process_has_a_share(required, slots, path):
    ada, eve = (people.person(name, "admin") for name in ("ada", "eve"))
    by_ada, by_eve = signed_in(ada), signed_in(eve)
    by_ada.stream("s", target={"name": "y"}, segment="a", features={"a": "category"})
    by_ada.model("avg", "s", "mean")
    for n in range(3):
        by_ada.learn({"a": "b"}, n)
    url = f"/api/v1/models/avg/{path}"
    with contextlib.ExitStack() as held:
        most, most_of_caller = slots.limits()
        for _ in range(most_of_caller):
            held.enter_context(slots.held(-ada.pk))
        refused = by_ada.get(url)
        assert (refused.status_code, refused.headers["Retry-After"]) == (429, "5")
        assert "the most allowed: wait until one has ended" in refused.json()["error"]["message"]
        assert by_eve.get(url).status_code == 200
        while slots.by_caller.total() < most:
            held.enter_context(slots.held(None))
        refused = by_eve.get(url)
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "unavailable")
        assert by_ada.get("/api/v1/models/avg/").status_code == 200
    assert not slots.by_caller
    assert by_ada.get(url).status_code == 200
    assert not slots.by_caller
