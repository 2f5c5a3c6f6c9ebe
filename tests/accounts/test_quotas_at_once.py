"""Quotas on real servers of several processes: however many make things at once, none gets past a limit, and counts stay right."""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from typing import Any

import pytest

from tests.cell_examples import bond, new_cell
from tests.people import bearer, made_on
from tests.serving import Server, fresh_database

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]

MB = 2**20
STREAMS, MODELS, ME = "/api/v1/streams/", "/api/v1/models/", "/api/v1/me/"
COUNT = (
    "import json; from server.learning.models import Prediction; from server.learning.quota_counts import prediction_bytes\n"
    "rows = Prediction.objects.values_list('identifier', 'x', 'prediction')\n"
    "print(json.dumps(sum(prediction_bytes(*row) for row in rows)))"
)


@pytest.fixture(params=["gunicorn", pytest.param("granian", marks=pytest.mark.one_database)])
def start(request: pytest.FixtureRequest, serve: Callable[..., Server]) -> Callable[..., Server]:
    """Starts a server of two processes that asks who is calling, with such quotas; once by each WSGI server."""

    def started(**quotas: int) -> Server:
        named = {f"quota_{name}": value for name, value in {"token_percent": 100, **quotas}.items()}
        return serve(auth="required", server=request.param, workers=2, threads=8, **named)

    return started


def at_once(do: Callable[[int], int], count: int) -> Counter[int]:
    with ThreadPoolExecutor(12) as pool:
        return Counter(pool.map(lambda n: tried_again(do, n), range(count)))


def tried_again(do: Callable[[int], int], number: int) -> int:
    """As a client does that is told to try again: only so many new models are tried, and only so many requests wait, at once."""
    deadline = time.monotonic() + 60
    while (status := do(number)) == 503 and time.monotonic() < deadline:
        threading.Event().wait(0.1)
    return status


def used(server: Server, **credential: str) -> dict[str, int]:
    return {one["name"]: one["used"] for one in server.get(ME, **credential)[1]["quotas"]}


def a_model(server: Server, **credential: str) -> None:
    assert server.post(STREAMS, {"name": "s", "target": {"name": "t"}}, **credential)[0] == 201
    assert server.post(MODELS, {"name": "m", "stream": "s", "recipe": "mean"}, **credential)[0] == 201


def keep(server: Server, identifier: str, **credential: str) -> int:
    body = {"x": {"k": "x" * 990}, "identifier": identifier}
    status: int = server.post(f"{MODELS}m/predict/", body, **credential)[0]
    return status


def stored_bytes(server: Server) -> int:
    done = server.manage("shell", "-v", "0", "-c", COUNT)
    assert done.returncode == 0, done.stderr
    return int(json.loads(done.stdout))


@pytest.mark.parametrize("start", ["gunicorn"], indirect=True)
def test_of_many_streams_and_models_made_at_once_as_many_are_made_as_the_quota_has(start):
    server = start(streams=5, models=5)
    credential = bearer(made_on(server, ada="researcher")["ada"][1])
    statuses = at_once(lambda n: server.post(STREAMS, {"name": f"s{n}", "target": {"name": "t"}}, **credential)[0], 36)
    assert statuses == {201: 5, 403: 31}
    streams = [one["name"] for one in server.get(STREAMS, **credential)[1]["streams"]]
    assert len(streams) == 5
    statuses = at_once(
        lambda n: server.post(MODELS, {"name": f"m{n}", "stream": streams[n % 5], "recipe": "mean"}, **credential)[0],
        36,
    )
    assert statuses == {201: 5, 403: 31}
    assert len(server.get(MODELS, **credential)[1]["models"]) == 5
    assert (used(server, **credential)["streams"], used(server, **credential)["models"]) == (5, 5)


@pytest.mark.parametrize("start", ["gunicorn"], indirect=True)
def test_cells_of_several_people_on_several_streams_at_once_stop_at_each_ones_quota(start):
    """Two transactions that would lock the same people's usage in another order each would end in a 503."""
    server = start(cells=6)
    people = [bearer(secret) for _, secret in made_on(server, ada="researcher", grace="researcher").values()]
    for name in ("s0", "s1"):
        assert server.post(STREAMS, {"name": name, "target": {"name": "t"}}, **people[0])[0] == 201

    def post(n: int) -> int:
        cell = new_cell(f"c{n}", [bond("Zr-Cu", 2.5)], descriptor=None)
        status: int = server.post(f"{STREAMS}s{n // 2 % 2}/cells/", cell, **people[n % 2])[0]
        return status

    assert at_once(post, 60) == {201: 12, 403: 48}
    assert [used(server, **one)["cells"] for one in people] == [6, 6]


def test_kept_predictions_of_two_processes_stop_at_the_limit_and_the_counts_are_right_after_a_stop(start):
    server = start(prediction_mb=1)
    credential = bearer(made_on(server, ada="researcher")["ada"][1])
    a_model(server, **credential)
    statuses = at_once(lambda n: keep(server, f"p{n}", **credential), 1000)
    assert set(statuses) == {200, 403}
    stored = stored_bytes(server)
    assert MB - 10_000 < stored <= MB, "a thousandth for each process may be in reserve"
    assert server.stop() == 0
    assert server.manage("recount_quotas").stdout == "Recounted: all counts were correct.\n"


def test_a_process_that_is_killed_leaves_never_less_counted_than_there_is(start):
    server = start(prediction_mb=1)
    credential = bearer(made_on(server, ada="researcher")["ada"][1])
    a_model(server, **credential)
    answered: list[int] = []

    def ask(n: int) -> int:
        try:
            status = keep(server, f"p{n}", **credential)
        except (OSError, HTTPException, ValueError):
            return 0
        answered.append(status)
        if len(answered) == 60:
            server.kill()
        return status

    assert at_once(ask, 200)[200] >= 60
    server.start()
    stored, counted = stored_bytes(server), used(server, **credential)["prediction_bytes"]
    assert stored <= counted <= stored + 4 * MB // 1000 + 12 * 1300, "what was in reserve, and what was under way"
    assert server.manage("recount_quotas").returncode == 0
    assert used(server, **credential)["prediction_bytes"] == stored


@pytest.mark.parametrize("start", ["gunicorn"], indirect=True)
def test_things_made_and_deleted_by_many_at_once_leave_the_counts_right(start):
    server = start()
    people = {
        name: bearer(secret) for name, (_, secret) in made_on(server, ada="researcher", grace="researcher").items()
    }
    assert server.post(STREAMS, {"name": "s", "target": {"name": "t"}}, **people["ada"])[0] == 201

    def live(n: int) -> int:
        owner, other = (people["ada"], people["grace"]) if n % 2 else (people["grace"], people["ada"])
        described = {"name": f"m{n}", "stream": "s", "recipe": "mean"}
        assert tried_again(lambda _: int(server.post(MODELS, described, **owner)[0]), n) == 201

        def predict(number: int) -> int:
            body: Any = {"x": {"a": number}, "identifier": f"p{n}-{number}"}
            return int(server.post(f"{MODELS}m{n}/predict/", body, **(owner if number else other))[0])

        assert all(tried_again(predict, number) == 200 for number in range(3))
        return (
            tried_again(lambda _: int(server.request("DELETE", f"{MODELS}m{n}/", headers=owner)[0]), n) if n % 3 else 0
        )

    assert at_once(live, 24) == {204: 16, 0: 8}
    assert server.stop() == 0
    done = server.manage("recount_quotas")
    assert done.stdout == "Recounted: all counts were correct.\n", done.stderr


def test_a_restored_backup_counts_what_it_holds(serve, tmp_path):
    server = serve(auth="required", quota_token_percent=50)
    credential = bearer(made_on(server, ada="researcher")["ada"][1])
    a_model(server, **credential)
    for n in range(3):
        assert keep(server, f"p{n}", **credential) == 200
    backup = tmp_path / "backup"
    assert server.manage("backup", str(backup)).returncode == 0, "a block is in reserve meanwhile"
    stored = stored_bytes(server)
    with fresh_database("restored", empty=True) as database:
        other = Server(tmp_path / "other", database, auth="required", quota_streams=1, quota_token_percent=50)
        done = other.manage("restore", str(backup))
        assert done.returncode == 0, done.stderr
        assert other.manage("recount_quotas").stdout == "Recounted: all counts were correct.\n"
        other.start()
        try:
            found = other.get(ME, **credential)[1]["quotas"]
            for of in ("user", "token"):
                used = {one["name"]: one["used"] for one in found if one["of"] == of}
                assert (used["streams"], used["models"], used["prediction_bytes"]) == (1, 1, stored)
            assert other.post(STREAMS, {"name": "more", "target": {"name": "t"}}, **credential)[0] == 403
        finally:
            other.kill()
