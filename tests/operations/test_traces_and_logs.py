"""Traces and JSON logs of real servers: every request can be followed from its id to where its time went."""

import itertools
import json
import time
from typing import Any, NamedTuple

import pytest

from tests.operations.collector import Collector, Span
from tests.serving import Server, fresh_database

pytestmark = pytest.mark.one_database

SECRET = "trc_" + "5e" * 32
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
PREDICT = "POST /api/v1/models/<str:name>/predict/"
OBSERVE = "POST /api/v1/streams/<str:name>/observations/"


class Watched(NamedTuple):
    """What became of a server that was used and stopped."""

    spans: list[Span]
    lines: list[dict[str, Any]]
    began: int
    ended: int

    def one(self, name: str) -> Span:
        (found,) = (span for span in self.spans if span.name == name)
        return found

    def inside(self, parent: Span) -> list[Span]:
        return sorted((span for span in self.spans if span.parent == parent.id), key=lambda span: span.began)


@pytest.fixture(scope="module", params=["gunicorn", "granian"])
def watched(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Watched:
    directory, collector = tmp_path_factory.mktemp("watched"), Collector()
    settings = {"log_format": "json", "access_log": "true", "otlp_endpoint": collector.url, "server": request.param}
    began = time.time_ns()
    with fresh_database("watched") as database:
        server = Server(directory, database, workers=1, threads=4, **settings).start()
        point = {"x": {"a": 1.0}, "y": 2.0}
        server.post("/api/v1/streams/", {"name": "runs", "target": {"name": "t"}})
        server.post("/api/v1/models/", {"name": "m", "stream": "runs", "recipe": "mean"})
        learned = {"traceparent": PARENT, "X-Request-Id": "job-17"}
        server.post("/api/v1/streams/runs/observations/", point, **learned)
        server.post(f"/api/v1/models/m/predict/?secret={SECRET}", {"x": {"a": 1.0}}, Authorization=f"Bearer {SECRET}")
        server.get(f"/api/v1/models/{SECRET}/", **{"X-Request-Id": "asks-for-nothing"})
        server.get("/metrics")
        server.stop()  # what was not sent yet goes out now
    collector.close()
    lines = server.log.read_text().splitlines()
    assert SECRET not in server.log.read_text()
    return Watched(collector.spans, [json.loads(line) for line in lines], began, time.time_ns())


def test_every_line_is_json_and_says_when_where_and_how_bad(watched):
    assert {"INFO"} <= {line["level"] for line in watched.lines}
    assert all({"time", "level", "logger", "message"} <= line.keys() for line in watched.lines)
    assert any("Tailrace serves on" in line["message"] for line in watched.lines)


def test_a_request_has_one_access_line_with_its_id_route_status_and_time(watched):
    (line,) = (line for line in watched.lines if line["logger"] == "server.access" and line["request_id"] == "job-17")
    assert line | {"time": "", "message": "", "process": 0, "thread": "", "ms": 0, "bytes": 0} == {
        "time": "", "level": "INFO", "logger": "server.access", "message": "", "process": 0, "thread": "",
        "request_id": "job-17", "address": "127.0.0.1", "user": "-", "method": "POST",
        "path": "/api/v1/streams/runs/observations/", "route": "/api/v1/streams/<str:name>/observations/",
        "status": 201, "bytes": 0, "ms": 0,
    }  # fmt: skip
    assert line["ms"] > 0
    assert line["bytes"] > 0


def test_whatever_is_logged_while_a_request_is_answered_bears_its_id(watched):
    loggers = {line["logger"] for line in watched.lines if line.get("request_id") == "asks-for-nothing"}
    assert loggers == {"server.access", "server.api.errors"}


def test_a_learn_says_where_its_time_went_in_the_trace_that_its_caller_began(watched):
    request = watched.one(OBSERVE)
    assert (request.trace, request.parent) == tuple(PARENT.split("-")[1:3])
    assert request.attributes["http.response.status_code"] == 201
    assert request.attributes["tailrace.request_id"] == "job-17"
    assert request.service == "tailrace"
    (learn,) = watched.inside(request)
    assert learn.name == "learn"
    assert learn.attributes["tailrace.observations"] == 1
    steps = watched.inside(learn)
    assert [step.name.removeprefix("learn.") for step in steps] == ["wait", "lock", "catch_up", "fold", "commit"]
    assert watched.began <= request.began
    assert request.ended <= watched.ended
    for outer, inner in ((request, learn), *((learn, step) for step in steps)):
        assert outer.began - 10**6 <= inner.began <= inner.ended <= outer.ended + 10**6  # two clocks, 1 ms
    for step, following in itertools.pairwise(steps):
        assert step.ended <= following.began + 10**6


def test_a_prediction_does_so_too_and_nothing_that_was_sent_is_told(watched):
    (predict,) = watched.inside(watched.one(PREDICT))
    assert predict.attributes == {"tailrace.model": "m", "tailrace.points": 1}
    assert [step.name for step in watched.inside(predict)] == ["predict.wait", "predict.catch_up", "predict.estimate"]
    assert SECRET not in repr(watched.spans)


def test_probes_and_scrapes_are_not_traced(watched):
    assert not [span for span in watched.spans if "healthz" in span.name or "metrics" in span.name]


def test_a_collector_that_is_not_there_delays_nobody(serve, monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")  # nobody listens there
    server = serve(workers=1, threads=4)
    assert server.post("/api/v1/streams/", {"name": "runs", "target": {"name": "t"}})[0] == 201
    assert server.stop() == 0
    assert "SIGKILL" not in server.log.read_text()  # as gunicorn says of a worker that doesn't come to its end
