"""Metrics are for when something is wrong: they are there while the database isn't."""

import threading
import time

import pytest

from tests.faults.postgresql import postgresql
from tests.operations.scraping import parsed, scrape
from tests.people import bearer
from tests.serving import PATIENCE

pytestmark = pytest.mark.one_database


def test_without_its_database_a_server_still_says_what_it_counted_to_those_it_knows(serve):
    with postgresql() as database_server:
        database_server.do("CREATE DATABASE watched")
        server = serve(workers=1, threads=4, auth="required", database_url=database_server.url("watched"))
        made = server.manage("create_token", "ada", "--create-user")
        secret = bearer(made.stdout.strip())
        stranger = bearer(server.manage("create_token", "eve", "--create-user").stdout.strip())
        assert server.post("/api/v1/streams/", {"name": "runs", "target": {"name": "t"}}, **secret)[0] == 201
        before = scrape(server, **secret)
        assert before.value("tailrace_database_up") == 1
        assert before.series("tailrace_stream_observations_total")
        database_server.stop()
        assert server.post("/api/v1/streams/runs/observations/", {"x": {"a": 1}, "y": 1}, **secret)[0] == 503
        down = scrape(server, **secret)
        assert down.value("tailrace_database_up") == 0
        assert not down.series("tailrace_stream_observations_total")
        assert sum(down.value("tailrace_database_errors_total", **kind) for kind in kinds(down)) > sum(
            before.value("tailrace_database_errors_total", **kind) for kind in kinds(before)
        )
        assert server.get("/metrics", **stranger)[0] == 503  # whom it never let in before
        assert server.get("/metrics", **bearer("trc_" + "0" * 64))[0] == 503
        database_server.start()
        assert wait_until_up(server, secret)


def kinds(found):
    return found.series("tailrace_database_errors_total")


def wait_until_up(server, secret) -> bool:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        status, body = server.get("/metrics", **secret)
        if status == 200 and parsed(body.decode()).value("tailrace_database_up") == 1:
            return True
        threading.Event().wait(0.2)
    return False
