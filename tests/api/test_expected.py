"""A stream says how often it should get observations, and whether it fell silent."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from server.accounts.models import AuditEntry
from server.operations import database_metrics
from server.streams.models import Batch
from tests.api_client import refused

pytestmark = pytest.mark.django_db(transaction=True)

STREAM = "/api/v1/streams/s/"
HOUR = {"every": 3600, "grace": 600}


def expect(api, expected):
    response = api.patch(STREAM, {"expected": expected})
    assert response.status_code == 200, response.content
    return response.json()


def heard(api, seconds_ago):
    """Whether it is silent where its last observation came so long ago."""
    Batch.objects.update(at=datetime.now(UTC) - timedelta(seconds=seconds_ago))
    return api.ok(STREAM)["expected"]["state"]


def metrics():
    wanted = "tailrace_stream_expected_seconds", "tailrace_stream_last_observation_timestamp_seconds"
    return {
        family.name: {one.labels["stream"]: one.value for one in family.samples}
        for family in database_metrics.families() if family.name in wanted
    }  # fmt: skip


def test_it_is_declared_with_the_stream_or_later_and_taken_back(api):
    assert api.stream("s", expected={"every": 60})["expected"] == {
        "every": 60, "grace": 0, "last_at": None, "state": "new",
    }  # fmt: skip
    assert expect(api, HOUR)["expected"] == {**HOUR, "last_at": None, "state": "new"}
    assert api.patch(STREAM, {"description": "x"}).json()["expected"]["every"] == 3600
    assert expect(api, None)["expected"] is None
    told = [
        (json.loads(one.before), json.loads(one.after))
        for one in AuditEntry.objects.filter(action="stream.change").order_by("number")
    ]
    assert told[0] == ({"expected": {"every": 60, "grace": 0}}, {"expected": HOUR})
    assert told[-1] == ({"expected": HOUR}, {"expected": None})


def test_it_is_late_after_the_interval_and_silent_after_the_grace(api):
    api.stream("s", expected=HOUR)
    api.learn({"a": 1}, 1.0)
    assert heard(api, 3500) == "on_time"
    assert heard(api, 3700) == "late"
    assert heard(api, 4300) == "silent"
    assert {one["name"]: one["expected"]["state"] for one in api.ok("/api/v1/streams/")["streams"]} == {"s": "silent"}
    api.learn({"a": 2}, 2.0)
    assert api.ok(STREAM)["expected"]["state"] == "on_time"


def test_prometheus_reads_what_its_rule_needs(api):
    api.stream("s", expected=HOUR)
    api.stream("new", expected={"every": 60})
    api.stream("whenever")
    api.learn({"a": 1}, 1.0)
    assert heard(api, 7200) == "silent"
    found = metrics()
    assert found["tailrace_stream_expected_seconds"] == {"s": 4200.0, "new": 60.0}
    (last,) = found["tailrace_stream_last_observation_timestamp_seconds"].items()
    assert last == ("s", pytest.approx(datetime.now(UTC).timestamp() - 7200, abs=60))


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("expected", "field"),
    [
        (3600, "expected"),
        ("1h", "expected"),
        ({}, "expected.every"),
        ({"every": 59}, "expected.every"),
        ({"every": 3600.5}, "expected.every"),
        ({"every": True}, "expected.every"),
        ({"every": 10**12}, "expected.every"),
        ({"every": 3600, "grace": -1}, "expected.grace"),
        ({"every": 3600, "grace": None}, "expected.grace"),
        ({"every": 3600, "period": 1}, "expected.period"),
    ],
)
def test_what_is_no_interval_changes_nothing(api, expected, field):
    before = api.stream("s", expected=HOUR)
    refused(api.patch(STREAM, {"expected": expected}), 400, field)
    refused(api.patch(STREAM, {"description": "x", "expected": expected}), 400, field)
    refused(api.post("/api/v1/streams/", {"name": "t", "target": {"name": "y"}, "expected": expected}), 400, field)
    assert api.ok("/api/v1/streams/") == {"streams": [before]}
