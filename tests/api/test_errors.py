"""Bad input gets its 4xx in the one shape, and changes nothing, on both APIs."""

import itertools
import json
import time
from typing import Any

import dill
import pytest
from django.db import OperationalError
from river import naive_bayes

from server.learning.concurrency import time_limit
from server.learning.fold import replica
from server.learning.predictions import predict_points
from tests.api_client import POINT, everything, linear, refused
from tests.together import together

pytestmark = pytest.mark.django_db

NOT_JSON = [b"", b"  ", b"nope", b'{"x": {"a": 1', b"\xff\xfe", b'{"x": NaN, "y": 1}', b"[" * 100_000]


OBSERVATIONS = "/api/v1/streams/s/observations/"


@together(
    "body, status, field",
    [
        ({"y": 1}, 400, "x"),
        ({"x": POINT}, 400, "y"),
        ({"x": POINT, "y": 1, "z": 1}, 400, "z"),
        ({"x": [1, 2], "y": 1}, 400, "x"),
        ({"x": None, "y": 1}, 400, "x"),
        ({"x": {}, "y": 1}, 400, "x"),
        ({"x": {"a": 1}, "y": 1}, 400, "x.k"),
        ({"x": {**POINT, "b": 1}, "y": 1}, 400, "x.b"),
        ({"x": {**POINT, "a": "1"}, "y": 1}, 400, "x.a"),
        ({"x": {**POINT, "a": True}, "y": 1}, 400, "x.a"),
        ({"x": {**POINT, "a": None}, "y": 1}, 400, "x.a"),
        ({"x": {**POINT, "a": {"b": 1}}, "y": 1}, 400, "x.a"),
        ({"x": {**POINT, "a": [1]}, "y": 1}, 400, "x.a"),
        ({"x": {**POINT, "k": "nul\x00"}, "y": 1}, 400, "x.k"),
        ({"x": {**POINT, "k": "x" * 1001}, "y": 1}, 400, "x.k"),
        ({"x": POINT, "y": "fast"}, 400, "y"),
        ({"x": POINT, "y": None}, 400, "y"),
        ({"x": POINT, "y": True}, 400, "y"),
        ({"x": POINT, "y": [1]}, 400, "y"),
        ({"x": POINT, "y": {"a": 1}}, 400, "y"),
        ({"x": POINT, "y": 1, "key": ""}, 400, "key"),
        ({"x": POINT, "y": 1, "key": 7}, 400, "key"),
        ({"x": POINT, "y": 1, "key": "k" * 201}, 400, "key"),
        ({"x": POINT, "y": 1, "source": "job"}, 400, "source"),
        ({"x": POINT, "y": 1, "source": {"job": "j" * 20_000}}, 400, "source"),
        ({"observations": []}, 400, "observations"),
        ({"observations": {}}, 400, "observations"),
        ({"observations": [{"x": POINT, "y": 1}], "more": 1}, 400, "more"),
        ({"observations": [{"x": POINT, "y": 1}, {"x": POINT}]}, 400, "observations[1].y"),
        ({"observations": [{"x": POINT, "y": 1}, {"x": {**POINT, "a": "1"}, "y": 1}]}, 400, "observations[1].x.a"),
        ({"observations": [{"x": POINT, "y": 1}, 7]}, 400, "observations[1]"),
        ({"observations": [{"x": POINT, "y": 1}] * 10_001}, 413, "observations"),
    ],
)
def test_a_bad_observation_is_refused_by_name(world, body, status, field):
    before = everything(world)
    refused(world.post(OBSERVATIONS, body), status, field)
    assert everything(world) == before


@together("raw", [b'{"x": {"a": 1e999, "k": "one"}, "y": 1}', b'{"x": {"a": 1, "k": "one"}, "y": -1e999}'])
def test_a_number_beyond_all_bounds_is_refused(world, raw):
    before = everything(world)
    refused(world.post(OBSERVATIONS, raw), 400)
    assert everything(world) == before


@together("raw", NOT_JSON)
@together(
    "path",
    [
        OBSERVATIONS,
        "/api/v1/streams/",
        "/api/v1/models/",
        "/api/v1/models/lin/predict/",
        "/api/v1/predictions/kept/label/",
        "/api/v1/streams/s/observations/1/retract/",
        "/api/learn/",
        "/api/predict/",
        "/api/label/",
    ],
)
def test_what_is_not_json_is_refused(world, path, raw):
    before = everything(world)
    refused(world.post(path, raw), 400, code="not_json")
    assert everything(world) == before


@together("body", [[1], "text", 7, None, True])
@together("path", [OBSERVATIONS, "/api/v1/streams/", "/api/v1/models/", "/api/v1/models/lin/predict/", "/api/learn/"])
def test_json_that_is_no_object_is_refused(world, path, body):
    refused(world.post(path, json.dumps(body).encode()), 400, code="not_an_object")


def test_a_bad_line_of_ndjson_is_refused_with_its_number(world):
    before = everything(world)
    lines = b'{"x": {"a": 1, "k": "one"}, "y": 1}\n\n{"x": oops}\n'
    error = refused(world.post(OBSERVATIONS, lines, "application/x-ndjson"), 400)
    assert "line 3" in error["message"]
    assert everything(world) == before


def test_a_stream_is_not_made_for_an_observation_that_is_refused(api):
    for body in ({"x": {}, "y": 1}, {"x": {"a": [1]}, "y": 1}, {"x": {"a": 1}, "y": [1]}, {"x": {"a": 1}}, {"y": 1}):
        response = api.post("/api/v1/streams/new/observations/", body)
        assert response.status_code in (400, 404)
    assert api.ok("/api/v1/streams/") == {"streams": []}


def test_more_features_than_the_limit_are_refused(world, settings):
    settings.TAILRACE = settings.TAILRACE.model_copy(update={"max_features": 5})
    before = everything(world)
    x = {f"f{n}": n for n in range(6)}
    refused(world.post("/api/v1/streams/up/observations/", {"x": x, "y": 1}), 413, "x")
    refused(world.post("/api/learn/", {"model": "up", "features": x, "ground_truth": 1}), 413, "features")
    assert everything(world) == before


def test_a_body_over_the_limit_is_refused(world, settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000
    before = everything(world)
    body = {"x": {"a": 1, "k": "x" * 2000}, "y": 1}
    refused(world.post(OBSERVATIONS, body), 413)
    refused(world.post("/api/learn/", {"model": "up", "features": body["x"], "ground_truth": 1}), 413)
    refused(world.post("/api/model/regression/big/", b"x" * 2000, "application/octet-stream"), 413)
    assert everything(world) == before


@together(
    "body, status, field",
    [
        ({"target": {"name": "y"}}, 400, "name"),
        ({"name": "new"}, 400, "target"),
        ({"name": "new", "target": "y"}, 400, "target"),
        ({"name": "new", "target": {}}, 400, "target.name"),
        ({"name": "new", "target": {"name": 7}}, 400, "target.name"),
        ({"name": "new", "target": {"name": "y", "unit": 7}}, 400, "target.unit"),
        ({"name": "new", "target": {"name": "y", "unit": None}}, 400, "target.unit"),
        ({"name": "new", "target": {"name": "y", "kind": "numeric"}}, 400, "target.kind"),
        ({"name": "new", "target": {"name": "y", "kind": ["number"]}}, 400, "target.kind"),
        ({"name": "new", "target": {"name": "y", "type": "number"}}, 400, "target.type"),
        ({"name": "new", "target": {"name": "y"}, "feature": ["a"]}, 400, "feature"),
        ({"name": "", "target": {"name": "y"}}, 400, "name"),
        ({"name": "a b", "target": {"name": "y"}}, 400, "name"),
        ({"name": "../x", "target": {"name": "y"}}, 400, "name"),
        ({"name": "n" * 201, "target": {"name": "y"}}, 400, "name"),
        ({"name": None, "target": {"name": "y"}}, 400, "name"),
        ({"name": "new", "target": {"name": "y"}, "features": []}, 400, "features"),
        ({"name": "new", "target": {"name": "y"}, "features": [1]}, 400, "features"),
        ({"name": "new", "target": {"name": "y"}, "features": [["a"]]}, 400, "features"),
        ({"name": "new", "target": {"name": "y"}, "features": {"a": "float"}}, 400, "features.a"),
        ({"name": "new", "target": {"name": "y"}, "features": {"a": ["number"]}}, 400, "features.a"),
        ({"name": "new", "target": {"name": "y"}, "features": ["a"], "segment": "b"}, 400, "segment"),
        ({"name": "new", "target": {"name": "y"}, "segment": 7}, 400, "segment"),
        ({"name": "new", "target": {"name": "y"}, "description": None}, 400, "description"),
        ({"name": "new", "target": {"name": "y"}, "description": "\ud800"}, 400, None),
        ({"name": "s", "target": {"name": "y"}}, 409, "target.name"),
    ],
)
def test_a_bad_stream_is_refused_by_name(world, body, status, field):
    before = everything(world)
    refused(world.post("/api/v1/streams/", body), status, field)
    assert everything(world) == before


LINEAR = {"class": "linear_model.LinearRegression"}


@together(
    "body, status, field",
    [
        ({"stream": "s", "recipe": "linear"}, 400, "name"),
        ({"name": "m", "recipe": "linear"}, 400, "stream"),
        ({"name": "m", "stream": "s"}, 400, "recipe"),
        ({"name": "m", "stream": "s", "recipe": "linear", "estimator": LINEAR}, 400, "recipe"),
        ({"name": "m", "stream": "s", "recipe": "linear", "flavor": "regression"}, 400, "flavor"),
        ({"name": "m", "stream": "s", "estimator": LINEAR}, 400, "flavor"),
        (
            {"name": "m", "stream": "s", "estimator": LINEAR, "flavor": "regression", "parameters": {}},
            400,
            "parameters",
        ),
        ({"name": "m", "stream": "s", "recipe": "linear", "size": 1}, 400, "size"),
        ({"name": "m", "stream": "s", "recipe": "linaer"}, 404, "recipe"),
        ({"name": "m", "stream": "s", "recipe": ["linear"]}, 400, "recipe"),
        ({"name": "m", "stream": "s", "recipe": "linear", "parameters": []}, 400, "parameters"),
        ({"name": "m", "stream": "s", "recipe": "linear", "parameters": {"rate": 1}}, 400, "parameters.rate"),
        (
            {"name": "m", "stream": "s", "recipe": "linear", "parameters": {"intercept_lr": "big"}},
            400,
            "parameters.intercept_lr",
        ),
        ({"name": "m", "stream": "s", "recipe": "linear", "backfill": "yes"}, 400, "backfill"),
        ({"name": "m", "stream": "nowhere", "recipe": "linear"}, 404, "stream"),
        ({"name": "m", "stream": None, "recipe": "linear"}, 400, "stream"),
        ({"name": None, "stream": "s", "recipe": "linear"}, 400, "name"),
        ({"name": "a/b", "stream": "s", "recipe": "linear"}, 400, "name"),
        ({"name": "lin", "stream": "s", "recipe": "linear"}, 409, "name"),
        ({"name": "m", "stream": "s", "recipe": "logistic"}, 400, "flavor"),
        ({"name": "m", "stream": "s", "flavor": "regresion", "estimator": LINEAR}, 400, "flavor"),
        ({"name": "m", "stream": "s", "flavor": ["regression"], "estimator": LINEAR}, 400, "flavor"),
        ({"name": "m", "stream": "s", "flavor": "binary", "estimator": LINEAR}, 400, "flavor"),
        ({"name": "m", "stream": "s", "flavor": "regression", "estimator": "linear"}, 400, "estimator"),
        ({"name": "m", "stream": "s", "flavor": "regression", "estimator": {}}, 400, "estimator.class"),
        (
            {"name": "m", "stream": "s", "flavor": "regression", "estimator": {"class": "os.system"}},
            400,
            "estimator.class",
        ),
        (
            {"name": "m", "stream": "s", "flavor": "regression", "estimator": {**LINEAR, "params": {"l3": 1}}},
            400,
            "estimator.params.l3",
        ),
        ({"name": "m", "stream": "s", "flavor": "regression", "estimator": {"class": "metrics.MAE"}}, 400, None),
    ],
)
def test_a_bad_model_is_refused_by_name(world, body, status, field):
    before = everything(world)
    refused(world.post("/api/v1/models/", body), status, field)
    assert everything(world) == before


@together(
    "path, body, status, field",
    [
        ("/api/v1/models/nobody/predict/", {"x": POINT}, 404, "model"),
        ("/api/v1/models/lin/predict/", {}, 400, "x"),
        ("/api/v1/models/lin/predict/", {"x": POINT, "xs": [POINT]}, 400, "x"),
        ("/api/v1/models/lin/predict/", {"x": {}}, 400, "x"),
        ("/api/v1/models/lin/predict/", {"x": {"a": 1}}, 400, "x.k"),
        ("/api/v1/models/lin/predict/", {"x": [1]}, 400, "x"),
        ("/api/v1/models/lin/predict/", {"xs": []}, 400, "xs"),
        ("/api/v1/models/lin/predict/", {"xs": [POINT, {"a": 1}]}, 400, "xs[1].k"),
        ("/api/v1/models/lin/predict/", {"xs": [POINT] * 10_001}, 413, "xs"),
        ("/api/v1/models/lin/predict/", {"xs": [POINT], "track": True}, 400, "xs"),
        ("/api/v1/models/lin/predict/", {"x": POINT, "track": 1}, 400, "track"),
        ("/api/v1/models/lin/predict/", {"x": POINT, "identifier": ""}, 400, "identifier"),
        ("/api/v1/models/lin/predict/", {"x": POINT, "identifier": 7}, 400, "identifier"),
        ("/api/v1/models/lin/predict/", {"x": POINT, "identifier": "i" * 201}, 400, "identifier"),
        ("/api/v1/models/lin/predict/", {"x": {"a": 2, "k": "one"}, "identifier": "kept"}, 409, "identifier"),
        ("/api/v1/models/lin/predict/", {"x": POINT, "level": 1}, 400, "level"),
        ("/api/v1/models/lin/predict/", {"x": POINT, "level": "high"}, 400, "level"),
        ("/api/v1/models/lin/predict/", {"x": POINT, "y": 1}, 400, "y"),
        ("/api/v1/predictions/unknown/label/", {"y": 1}, 404, "identifier"),
        ("/api/v1/predictions/late/label/", {"y": 1}, 410, "identifier"),
        ("/api/v1/predictions/done/label/", {"y": 4}, 409, "y"),
        ("/api/v1/predictions/kept/label/", {}, 400, "y"),
        ("/api/v1/predictions/kept/label/", {"y": "fast"}, 400, "y"),
        ("/api/v1/predictions/kept/label/", {"y": None}, 400, "y"),
        ("/api/v1/predictions/kept/label/", {"y": 1, "model": "up"}, 400, "model"),
        ("/api/v1/predictions/kept/label/", {"y": 1, "source": 7}, 400, "source"),
        ("/api/v1/streams/nowhere/observations/1/retract/", {"reason": "bad"}, 404, "stream"),
        ("/api/v1/streams/s/observations/99/retract/", {"reason": "bad"}, 404, "seq"),
        ("/api/v1/streams/s/observations/0/retract/", {"reason": "bad"}, 404, "seq"),
        ("/api/v1/streams/s/observations/one/retract/", {"reason": "bad"}, 400, "seq"),
        ("/api/v1/streams/s/observations/-1/retract/", {"reason": "bad"}, 400, "seq"),
        ("/api/v1/streams/s/observations/" + "9" * 30 + "/retract/", {"reason": "bad"}, 400, "seq"),
        ("/api/v1/streams/s/observations/1/retract/", {}, 400, "reason"),
        ("/api/v1/streams/s/observations/1/retract/", {"reason": " "}, 400, "reason"),
        ("/api/v1/streams/s/observations/1/retract/", {"reason": 7}, 400, "reason"),
        ("/api/v1/streams/s/observations/1/retract/", {"reason": "bad", "by": "me"}, 400, "by"),
    ],
)
def test_a_bad_question_label_or_retraction_is_refused_by_name(world, path, body, status, field):
    before = everything(world)
    refused(world.post(path, body), status, field)
    assert everything(world) == before


@together(
    "path, status, field",
    [
        (OBSERVATIONS + "?after=abc", 400, "after"),
        (OBSERVATIONS + "?after=-1", 400, "after"),
        (OBSERVATIONS + "?after=1.5", 400, "after"),
        (OBSERVATIONS + "?after=", 400, "after"),
        (OBSERVATIONS + "?after=99999999999999999999", 400, "after"),
        (OBSERVATIONS + "?after=%D9%A3", 400, "after"),
        (OBSERVATIONS + "?after=1_0", 400, "after"),
        (OBSERVATIONS + "?limit=0", 400, "limit"),
        (OBSERVATIONS + "?limit=-1", 400, "limit"),
        (OBSERVATIONS + "?limit=10001", 400, "limit"),
        (OBSERVATIONS + "?limit=5&limit=6", 400, "limit"),
        (OBSERVATIONS + "?format=xml", 400, "format"),
        (OBSERVATIONS + "?from=1", 400, "from"),
        ("/api/v1/streams/nowhere/observations/", 404, "stream"),
        ("/api/v1/streams/nowhere/", 404, "stream"),
        ("/api/v1/streams/a%00b/", 404, "stream"),
        ("/api/v1/streams/%FF/", 404, "stream"),
        ("/api/v1/streams/?limit=1", 400, "limit"),
        ("/api/v1/models/?stream=nowhere", 404, "stream"),
        ("/api/v1/models/nobody/", 404, "model"),
        ("/api/v1/models/a%00b/", 404, "model"),
        ("/api/v1/models/lin/?at=abc", 400, "at"),
        ("/api/v1/models/lin/?at=-1", 400, "at"),
        ("/api/v1/models/lin/?at=99", 400, "at"),
        ("/api/v1/models/nobody/download/", 404, "model"),
        ("/api/v1/models/lin/download/?at=99", 400, "at"),
        ("/api/v1/models/nobody/metrics/", 404, "model"),
        ("/api/v1/models/lin/metrics/?segment=ten", 404, "segment"),
        ("/api/v1/models/lin/metrics/?at=x", 400, "at"),
        ("/api/v1/models/lin/metrics/?segments=one", 400, "segments"),
        ("/api/v1/models/nobody/history/", 404, "model"),
        ("/api/v1/models/lin/history/?n=1", 400, "n"),
        ("/api/v1/models/nobody/stats/", 404, "model"),
        ("/api/v1/events/?type=learned", 400, "type"),
        ("/api/v1/events/?stream=nowhere", 404, "stream"),
        ("/api/v1/events/?model=nobody", 404, "model"),
        ("/api/v1/events/?model=lin&stream=up", 400, "stream"),
        ("/api/v1/events/?since=1", 400, "since"),
        ("/api/v1/nothing/", 404, None),
        ("/api/v1/streams", 404, None),
        ("/api/nothing/", 404, None),
        ("/nothing", 404, None),
        ("/api/model/nobody/", 404, "model"),
        ("/api/model/download/nobody/", 404, "model"),
        ("/api/metrics/", 400, "model"),
        ("/api/metrics/?model=nobody", 404, "model"),
        ("/api/stats/", 400, "model"),
        ("/api/stats/?model=nobody", 404, "model"),
    ],
)
def test_a_bad_address_or_query_is_refused_by_name(world, path, status, field):
    refused(world.get(path), status, field)


@together("last", ["abc", "-1", "1.5", "1-", "1-2-3-4-5-6 7", "9" * 30, "1-0-x", ""])
@together("path", ["/api/v1/events/", "/api/stream/events/", "/api/stream/metrics/"])
def test_an_event_id_that_is_none_is_refused(world, path, last):
    refused(world.client.get(path, headers={"Last-Event-ID": last}), 400, "Last-Event-ID")


@together(
    "method, path",
    [
        ("PUT", "/api/v1/streams/"),
        ("PUT", "/api/v1/streams/s/"),
        ("GET", "/api/v1/models/lin/predict/"),
        ("PATCH", "/api/v1/models/lin/"),
        ("DELETE", OBSERVATIONS),
        ("POST", "/api/v1/events/"),
        ("HEAD", "/api/v1/events/"),
        ("GET", "/api/v1/predictions/kept/label/"),
        ("GET", "/api/learn/"),
        ("POST", "/api/models/"),
        ("PUT", "/api/model/regression/x/"),
        ("GET", "/api/model/"),
        ("POST", "/api/stream/events/"),
    ],
)
def test_a_method_that_an_address_does_not_take(world, method, path):
    before = everything(world)
    response = world.client.generic(method, path)
    assert response.status_code == 405
    assert method not in response.headers["Allow"].split(", ") or method == "HEAD"
    if method != "HEAD":
        refused(response, 405, code="method_not_allowed")
    assert everything(world) == before


def test_the_callers_request_id_is_kept_and_a_strange_one_replaced(world):
    response = world.get("/api/v1/models/nobody/", **{"X-Request-Id": "job-17.step_2"})
    assert refused(response, 404)["request_id"] == "job-17.step_2"
    response = world.get("/api/v1/models/nobody/", **{"X-Request-Id": "two words\t"})
    assert refused(response, 404)["request_id"] != "two words\t"


def test_a_bug_is_one_error_too_and_its_traceback_is_in_the_log_under_the_request_id(world, monkeypatch, caplog):
    def broken(*args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("a bug")

    monkeypatch.setattr("server.learning.inspection.metrics", broken)
    for path in ("/api/v1/models/lin/metrics/", "/api/metrics/?model=lin"):
        error = refused(world.get(path), 500, code="internal")
        assert "a bug" not in error["message"]
        assert any(error["request_id"] in record.getMessage() and record.exc_info for record in caplog.records)


def test_a_database_that_is_away_is_503_with_a_time_to_come_back(world, monkeypatch):
    def away(*args: Any, **kwargs: Any) -> Any:
        raise OperationalError("server closed the connection")

    monkeypatch.setattr("server.streams.registry.find", away)
    monkeypatch.setattr("server.learning.registry.find", away)
    for path in ("/api/v1/streams/s/", "/api/v1/models/lin/stats/", "/api/stats/?model=up"):
        response = world.get(path)
        refused(response, 503, code="unavailable")
        assert int(response.headers["Retry-After"]) >= 1


def test_a_model_that_still_learns_the_history_says_so(world):
    world.model("behind", "s")
    for path in ("/api/v1/models/behind/metrics/", "/api/v1/models/behind/history/", "/api/metrics/?model=behind"):
        refused(world.get(path), 409, code="backfilling")
    refused(world.post("/api/v1/models/behind/predict/", {"x": POINT}), 409, code="backfilling")
    assert world.ok("/api/v1/models/behind/")["status"] == "backfilling"
    with pytest.raises(Exception, match="still learning"):
        predict_points.find("behind")


@pytest.mark.one_database
@pytest.mark.parametrize("flavor", ["regression", "multiclass"])
@pytest.mark.parametrize("is_busy", [False, True])
@pytest.mark.parametrize("count", [2, 5, 16, 40])
def test_a_request_takes_no_longer_than_a_block_however_few_its_points_are(
    api, settings, monkeypatch, flavor, count, is_busy
):
    """Each call is quick enough; together they aren't. Nothing is stored, and the next request finds the models as they were.

    Where others used the CPU meanwhile, it isn't the points' fault, and they may be sent again.
    """
    api.stream("s", target={"name": "t"})
    uploaded = dill.dumps(naive_bayes.GaussianNB() if flavor == "multiclass" else linear())
    assert api.post(f"/api/model/{flavor}/m/?stream=s", uploaded, "application/octet-stream").status_code == 201
    points = [{"x": {"a": float(n)}, "y": "a" if flavor == "multiclass" else 1.0} for n in range(count)]
    settings.TAILRACE = settings.TAILRACE.model_copy(update={"block_seconds": 1.5})
    with monkeypatch.context() as slow:
        passes = itertools.count(0, 2)
        slow.setattr(replica, "monotonic", lambda: time.monotonic() + next(passes))
        if not is_busy:
            slow.setattr(time_limit, "thread_time", replica.monotonic)
        answered = api.post("/api/v1/streams/s/observations/", {"observations": points})
    error = refused(answered, 503 if is_busy else 413)
    assert error["code"] == ("unavailable" if is_busy else "too_slow")
    assert ("try again" if is_busy else "send at most 1 in one request") in error["message"]
    assert api.get("/api/v1/streams/s/").json()["head"] == 0
    assert api.post("/api/v1/streams/s/observations/", {"observations": points}).json()["last"] == count
    assert api.get("/api/v1/models/m/metrics/").json()["at"] == count
