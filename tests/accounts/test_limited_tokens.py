"""A token that is for some streams sees nothing of the others: not that they are there, nor what is on them."""

import json
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any

import dill
import pytest
from django.test import Client
from river import linear_model

from server.learning import registry as models
from server.learning.models import Model, Prediction
from server.learning.predictions import predict_points
from server.streams import registry as streams
from server.streams.models import Stream
from tests.accounts.matrix import MATRIX, MORE
from tests.api_client import Api
from tests.people import bearer, person, secret_of
from tests.together import together

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("required")]

POINT = {"x": {"a": 1.0}, "y": 2.0}


@pytest.fixture(autouse=True)
def _streams() -> None:
    """One stream that is theirs and one that isn't, each with a model, a kept prediction and an observation."""
    ada = person("ada")
    for stream, model in (("own", "mine"), ("other", "theirs")):
        streams.create(stream, target_kind="number", owner_id=ada.pk)
        models.create(model, stream, "regression", linear_model.LinearRegression(), owner_id=ada.pk)
        predict_points.predict(model, [{"a": 1.0}], identifier=f"{model}-kept", keep=True)
        Api(Client(headers=bearer(secret_of(ada)))).ok(f"/api/v1/streams/{stream}/observations/", POINT, 201)


@pytest.fixture
def limited() -> Api:
    """Everything that an admin's token can do, on one stream."""
    return Api(Client(headers=bearer(secret_of(person("root", "admin"), streams=["own"]))))


@pytest.fixture
def job() -> Api:
    """What a job gets."""
    return Api(Client(headers=bearer(secret_of(person("grace"), ["learn"], ["own"]))))


def test_a_job_learns_into_its_stream_and_is_told_nothing_of_the_models(job):
    receipt = job.ok("/api/v1/streams/own/observations/", POINT, 201)
    assert receipt == {"first": 2, "last": 2, "accepted": 1, "duplicates": 0, "models": {}}
    learned = job.post("/api/learn/", {"model": "mine", "features": {"a": 1.0}, "ground_truth": 2.0})
    assert (learned.status_code, learned.json()) == (201, "Successful learn.")
    labeled = job.ok("/api/v1/predictions/mine-kept/label/", {"y": 3.0})
    assert (labeled["last"], labeled["models"]) == (4, {})


def test_a_job_can_do_nothing_else(job):
    """Not on its own stream either: only what the matrix says takes the scope learn, and what is for anyone."""
    may = {
        (pattern, method)
        for table in (MATRIX, MORE)
        for pattern, line in table.items()
        for method, rule in line.rules.items()
        if rule.takes != "agent"
        and (rule.is_public or rule.takes == "basic" or rule.scopes is None or "learn" in rule.scopes)
    }
    refused = {}
    for table in (MATRIX, MORE):
        for pattern, line in table.items():
            for method in line.rules:
                path = (
                    line.path(pattern)
                    .replace("/s/", "/own/")
                    .replace("/m/", "/mine/")
                    .format_map(defaultdict(lambda: "1", user="grace"))
                )
                if (pattern, method) not in may and pattern.startswith("api/"):
                    refused[method, pattern] = job.client.generic(method, path, b"{}", "application/json").status_code
    assert len(refused) > 20
    assert set(refused.values()) == {403}, refused


def test_lists_leave_out_what_is_not_theirs(limited):
    assert [stream["name"] for stream in limited.ok("/api/v1/streams/")["streams"]] == ["own"]
    assert [model["name"] for model in limited.ok("/api/v1/models/")["models"]] == ["mine"]
    assert limited.ok("/api/models/") == {"models": ["mine"]}


@pytest.mark.parametrize("path", ["/api/v1/events/", "/api/stream/events/", "/api/stream/metrics/"])
def test_events_leave_out_what_is_not_theirs(limited, path):
    response = limited.client.get(path, headers={"Last-Event-ID": "0"})
    try:
        chunks = iter(response.streaming_content)
        heard = b""
        limited.ok(
            "/api/v1/streams/own/observations/", {"x": {"a": 7.0}, "y": 7.0}, 201
        )  # the end of what is read here
        while heard.count(b"data:") < (1 if path.endswith("metrics/") else 2):
            heard += next(chunks)
    finally:
        response.close()
    assert b"theirs" not in heard
    assert b'"other"' not in heard


def answer_to(api: Api, method: str, path: str, body: Any) -> tuple[int, Any]:
    """The whole answer, but for what is different each time."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    response = api.client.generic(method, path, data, "application/json")
    error = response.json()
    error["error"].pop("request_id")
    return response.status_code, error


THERE_OR_NOT = [
    ("GET", "/api/v1/streams/{stream}/", None),
    ("PATCH", "/api/v1/streams/{stream}/", {"description": "x"}),
    ("DELETE", "/api/v1/streams/{stream}/", None),
    ("GET", "/api/v1/streams/{stream}/observations/", None),
    ("POST", "/api/v1/streams/{stream}/observations/", POINT),
    ("POST", "/api/v1/streams/{stream}/observations/1/retract/", {"reason": "wrong node"}),
    ("GET", "/api/v1/models/?stream={stream}", None),
    ("POST", "/api/v1/models/", {"name": "new", "stream": "{stream}", "recipe": "mean"}),
    ("POST", "/api/v1/streams/", {"name": "{stream}", "target": {"name": "y"}}),
    ("GET", "/api/v1/events/?stream={stream}", None),
    ("POST", "/api/model/regression/new/?stream={stream}", dill.dumps(linear_model.LinearRegression())),
    ("POST", "/api/model/regression/{stream}/", dill.dumps(linear_model.LinearRegression())),
    ("GET", "/api/v1/models/{model}/", None),
    ("DELETE", "/api/v1/models/{model}/", None),
    ("GET", "/api/v1/models/{model}/download/", None),
    ("GET", "/api/v1/models/{model}/metrics/", None),
    ("GET", "/api/v1/models/{model}/history/", None),
    ("GET", "/api/v1/models/{model}/stats/", None),
    ("GET", "/api/v1/events/?model={model}", None),
    ("POST", "/api/v1/models/{model}/predict/", {"x": {"a": 1.0}}),
    ("POST", "/api/predict/", {"model": "{model}", "features": {"a": 1.0}}),
    ("POST", "/api/learn/", {"model": "{model}", "features": {"a": 1.0}, "ground_truth": 2.0}),
    ("DELETE", "/api/model/", {"model": "{model}"}),
    ("GET", "/api/model/{model}/", None),
    ("GET", "/api/model/download/{model}/", None),
    ("GET", "/api/metrics/", {"model": "{model}"}),
    ("GET", "/api/stats/", {"model": "{model}"}),
    ("POST", "/api/v1/predictions/{model}-kept/label/", {"y": 2.0}),
    ("POST", "/api/label/", {"model": "{model}", "identifier": "{model}-kept", "label": 2.0}),
    ("POST", "/api/label/", {"model": "mine", "identifier": "{model}-kept", "label": 2.0}),
    ("POST", "/api/learn/", {"model": "mine", "identifier": "{model}-kept", "ground_truth": 2.0}),
]


def everything() -> Any:
    return [
        list(Stream.objects.order_by("pk").values()),
        list(Model.objects.order_by("pk").values()),
        list(Prediction.objects.order_by("pk").values()),
    ]


@pytest.mark.parametrize("state", ["there", "backfilling", "expired"])
@together("method, path, body", THERE_OR_NOT)
def test_what_is_not_theirs_is_as_if_it_were_not_there(limited, method, path, body, state):
    if state == "backfilling":
        Model.objects.filter(name="theirs").update(status=Model.BACKFILLING)
    if state == "expired":
        Prediction.objects.update(expires_at=datetime.now(UTC) - timedelta(days=1))

    def ask(stream: str, model: str) -> tuple[int, Any]:
        def named(text: str) -> str:
            return text.replace("{stream}", stream).replace("{model}", model)

        data = body if isinstance(body, bytes) else b"" if body is None else named(json.dumps(body)).encode()
        status, error = answer_to(limited, method, named(path), data)
        return status, json.loads(json.dumps(error).replace(stream, "S").replace(model, "M"))

    before = everything()
    found, missing = ask("other", "theirs"), ask("nothing", "nobodys")
    assert found == missing
    assert found[0] in (403, 404)
    assert everything() == before


def test_a_model_of_their_own_that_learns_its_history_is_said_to(limited):
    Model.objects.filter(name="mine").update(status=Model.BACKFILLING)
    for path, body in (
        ("/api/v1/models/mine/predict/", {"x": {"a": 1.0}}),
        ("/api/learn/", {"model": "mine", "features": {"a": 1.0}, "ground_truth": 2.0}),
    ):
        response = limited.post(path, body)
        assert (response.status_code, response.json()["error"]["code"]) == (409, "backfilling")


@pytest.mark.parametrize("scopes", [["manage"], ["manage", "learn"]])
@pytest.mark.parametrize(
    "method, path",
    [
        ("PATCH", "/api/v1/streams/{stream}/"),
        ("DELETE", "/api/v1/streams/{stream}/"),
        ("DELETE", "/api/v1/models/{model}/"),
        ("DELETE", "/api/model/?model={model}"),
    ],
)
def test_whoever_may_not_read_cannot_tell_not_theirs_from_not_there(method, path, scopes):
    """Of their own things a researcher's token may change what it cannot read; others' are not there."""
    api = Api(Client(headers=bearer(secret_of(person("grace"), scopes))))
    found = answer_to(api, method, path.format(stream="other", model="theirs"), {"description": "x"})
    missing = answer_to(api, method, path.format(stream="nothing", model="nobodys"), {"description": "x"})
    assert found[0] == missing[0] == 404
    assert json.dumps(found).replace("other", "S").replace("theirs", "M") == json.dumps(missing).replace(
        "nothing", "S"
    ).replace("nobodys", "M")
