"""Identifiers of predictions belong to a stream, or to a model where the riverapi protocol made them: nobody takes another's."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import dill
import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.test import Client
from river import linear_model

from server.accounts.roles import SCOPES
from server.learning import registry as models
from server.learning.models import Model, ModelStatus, Prediction
from server.learning.predictions import predict_points
from server.streams import registry as streams
from server.streams.models import Stream
from tests.api_client import Api, refused
from tests.people import bearer, person, secret_of

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("required")]

JOB = "job-78"


@pytest.fixture(autouse=True)
def _streams() -> None:
    """Two streams; the first has two models."""
    ada = person("ada")
    for stream, names in (("alpha", ("a1", "a2")), ("beta", ("b1",))):
        streams.create(stream, target_kind="number", owner_id=ada.pk)
        for name in names:
            models.create(name, stream, "regression", linear_model.LinearRegression(), owner_id=ada.pk)


def api(user: str = "ada", scopes: list[str] | None = None, only: list[str] | None = None) -> Api:
    known = User.objects.filter(username=user).first() or person(user)
    client = Client(headers=bearer(secret_of(known, scopes or tuple(SCOPES), only)))
    client.raise_request_exception = False
    return Api(client)


def predict(caller: Api, model: str, x: float = 1.0, identifier: str = JOB) -> Any:
    return caller.post(f"/api/v1/models/{model}/predict/", {"x": {"a": x}, "identifier": identifier})


def ask(caller: Api, model: str, x: float = 1.0, identifier: str = JOB) -> Any:
    """The same over the riverapi protocol."""
    return caller.post("/api/predict/", {"model": model, "features": {"a": x}, "identifier": identifier})


def label(caller: Api, y: float, identifier: str = JOB, **more: Any) -> Any:
    return caller.post(f"/api/v1/predictions/{identifier}/label/", {"y": y, **more})


def tell(caller: Api, model: str, y: float, identifier: str = JOB) -> Any:
    return caller.post("/api/label/", {"model": model, "identifier": identifier, "label": y})


def heads() -> dict[str, int]:
    return dict(Stream.objects.values_list("name", "head"))


def labeled() -> dict[str, int | None]:
    return dict(Prediction.objects.values_list("model__name", "seq"))


@pytest.mark.parametrize("first, second", [(predict, predict), (ask, ask), (predict, ask), (ask, predict)])
def test_another_stream_may_use_the_same_identifier(first, second):
    alpha, beta = api("eve", only=["alpha"]), api("bob", only=["beta"])
    assert first(alpha, "a1", 5.0).status_code in (200, 201)
    assert second(beta, "b1", 6.0).status_code in (200, 201)
    assert label(alpha, 1.0).status_code == 200
    assert (heads(), labeled()) == ({"alpha": 1, "beta": 0}, {"a1": 1, "b1": None})
    assert tell(beta, "b1", 2.0).status_code == 200
    assert (heads(), labeled()) == ({"alpha": 1, "beta": 1}, {"a1": 1, "b1": 1})
    assert label(beta, 2.0).json()["duplicates"] == 1
    assert heads() == {"alpha": 1, "beta": 1}


def test_an_identifier_that_several_streams_use_is_labeled_with_the_models_name():
    ada = api()
    for model in ("a1", "b1"):
        assert predict(ada, model).status_code == 200
    for response in (label(ada, 1.0), ada.post("/api/learn/", {"identifier": JOB, "ground_truth": 1.0})):
        error = refused(response, 409, "model", "ambiguous")
        assert not any(name in error["message"] for name in ("a1", "b1", "alpha", "beta"))
    assert heads() == {"alpha": 0, "beta": 0}
    assert label(ada, 1.0, model="b1").status_code == 200
    assert labeled() == {"a1": None, "b1": 1}
    assert tell(ada, "a1", 1.0).status_code == 200
    assert labeled() == {"a1": 1, "b1": 1}
    refused(label(ada, 1.0, model="a2"), 400, "model")
    refused(label(ada, 1.0, model=7), 400, "model")
    refused(label(ada, 1.0, "unknown", model="a1"), 404, "identifier")


def test_in_one_stream_an_identifier_names_one_prediction():
    ada = api()
    first = predict(ada, "a1").json()
    assert predict(ada, "a1").json() == first
    refused(predict(ada, "a1", 2.0), 409, "identifier")
    error = refused(predict(ada, "a2"), 409, "identifier")
    assert "a1" not in error["message"]


def test_over_riverapi_it_names_one_prediction_of_each_model():
    ada = api()
    assert ask(ada, "a1", 1.0).status_code == ask(ada, "a2", 2.0).status_code == 201
    assert ask(ada, "a1", 1.0).status_code == 201
    refused(ask(ada, "a1", 2.0), 409, "identifier")
    assert tell(ada, "a1", 10.0).status_code == 200
    assert labeled() == {"a1": 1, "a2": None}
    assert tell(ada, "a2", 20.0).status_code == 200
    assert labeled() == {"a1": 1, "a2": 2}
    found = ada.ok("/api/v1/streams/alpha/observations/")["observations"]
    assert [(one["x"], one["y"], one["identifier"]) for one in found] == [
        ({"a": 1.0}, 10.0, JOB),
        ({"a": 2.0}, 20.0, JOB),
    ]
    for model, y in (("a1", 10.0), ("a2", 20.0)):  # again: nothing changes
        assert tell(ada, model, y).status_code == 200
    refused(tell(ada, "a2", 10.0), 409, "label")
    assert heads()["alpha"] == 2


def test_the_longest_identifier_is_labeled_on_both_sides():
    ada = api()
    longest = "é" * 200
    assert predict(ada, "b1", identifier=longest).status_code == 200
    assert ask(ada, "a1", identifier=longest).status_code == ask(ada, "a2", identifier=longest).status_code == 201
    for model in ("a1", "a2", "b1"):
        for _ in range(2):
            assert tell(ada, model, 3.0, longest).status_code == 200
    assert heads() == {"alpha": 2, "beta": 1}


def test_of_many_at_once_one_keeps_its_prediction_and_all_answer_with_it(serve):
    server = serve(workers=2, threads=8)
    server.post("/api/v1/streams/", {"name": "s", "target": {"name": "y", "kind": "number"}})
    for name in ("a", "b"):
        assert server.post("/api/v1/models/", {"name": name, "stream": "s", "recipe": "mean"})[0] == 201

    def one(n: int) -> tuple[int, Any]:
        body = {"x": {"a": 1.0}, "identifier": JOB}
        return server.post(f"/api/v1/models/{'ab'[n % 2]}/predict/", body)

    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(one, range(24)))
    assert sorted(status for status, _ in answers) == [200] * 12 + [409] * 12
    assert server.post(f"/api/v1/predictions/{JOB}/label/", {"y": 1.0})[0] == 200


# What errors tell to whom


def test_a_name_that_is_taken_elsewhere_is_taken_and_nothing_more_is_told():
    eve = api("eve", only=["alpha"])
    before = list(Model.objects.values_list("name", flat=True))
    own = refused(
        eve.post("/api/v1/models/", {"name": "a1", "stream": "alpha", "recipe": "mean"}), 409, "name", "name_taken"
    )
    other = refused(
        eve.post("/api/v1/models/", {"name": "b1", "stream": "alpha", "recipe": "mean"}), 409, "name", "name_taken"
    )
    assert own["message"].replace("a1", "b1") == other["message"]
    assert "model" not in other["message"]
    upload = dill.dumps(linear_model.LinearRegression())
    refused(eve.client.post("/api/model/regression/b1/?stream=alpha", upload, "application/octet-stream"), 409)
    assert list(Model.objects.values_list("name", flat=True)) == before


def test_an_identifier_of_another_stream_is_as_if_it_were_not_there():
    predict_points.predict("b1", [{"a": 1.0}], identifier=JOB, keep=True)
    for scopes in (None, ["learn"]):
        eve = api("eve", scopes, only=["alpha"])
        for there, missing in (
            (label(eve, 1.0), label(eve, 1.0, "job-79")),
            (label(eve, 1.0, model="b1"), label(eve, 1.0, "job-79", model="b1")),
            (tell(eve, "b1", 1.0), tell(eve, "b1", 1.0, "job-79")),
            (tell(eve, "a1", 1.0), tell(eve, "a1", 1.0, "job-79")),
        ):
            told, expected = refused(there, 404), refused(missing, 404)
            assert told["message"].replace("job-78", "job-79") == expected["message"]
            assert told["code"] == expected["code"]


def test_a_job_that_may_only_learn_hears_no_names_of_models():
    """Every model of the stream refuses its point: the reasons name them to those alone who may read or ask them."""
    Model.objects.all().delete()
    for name in ("secret-1", "secret-2"):
        models.create(name, "alpha", "regression", linear_model.LinearRegression())
    body = {"x": {"a": "text"}, "y": 1.0}
    for post in (
        lambda caller: caller.post("/api/v1/streams/alpha/observations/", body),
        lambda caller: caller.post("/api/learn/", {"model": "secret-1", "features": body["x"], "ground_truth": 1.0}),
    ):
        error = refused(post(api("grace", ["learn"], ["alpha"])), 400, code="refused")
        assert "secret-2" not in error["message"]
        assert "nothing was stored" in error["message"]
        for scopes in (["learn", "read"], ["learn", "predict"], None):
            assert "secret-2" in refused(post(api("grace", scopes, ["alpha"])), 400, code="refused")["message"]


# From before


def test_predictions_of_an_older_database_get_their_streams():
    before = [("learning", "0002_standing")]
    executor = MigrationExecutor(connection)
    executor.migrate(before)
    old: Any = executor.loader.project_state(before).apps.get_model("learning", "Prediction")
    moment = datetime(2036, 1, 1, tzinfo=UTC)
    for name, identifier in (("a1", "one"), ("b1", "two")):
        old.objects.create(
            identifier=identifier, model_id=Model.objects.values_list("pk", flat=True).get(name=name), x='{"a":1.0}',
            prediction="0.5", at=0, made_at=moment, expires_at=moment,
        )  # fmt: skip
    executor = MigrationExecutor(connection)
    executor.migrate(executor.loader.graph.leaf_nodes())
    found = Prediction.objects.values_list("identifier", "stream__name", "of_model").order_by("identifier")
    assert list(found) == [("one", "alpha", False), ("two", "beta", False)]
    ada = api()
    assert ask(ada, "a1", identifier="one").json()["prediction"] == 0.5
    assert tell(ada, "a1", 2.0, "one").status_code == 200
    assert label(ada, 2.0, "one").json()["duplicates"] == 1


def test_the_status_of_models_survives_the_new_name_of_its_table():
    before = [("learning", "0007_prediction_stream_index")]
    executor = MigrationExecutor(connection)
    executor.migrate(before)
    old: Any = executor.loader.project_state(before).apps.get_model("learning", "Standing")
    pk = Model.objects.values_list("pk", flat=True).get(name="a1")
    moment = datetime(2036, 1, 1, tzinfo=UTC)
    old.objects.create(model_id=pk, generation=1, n=7, scored=6, skipped=1, metric="RMSE", snapshot_n=5, at=moment)
    executor = MigrationExecutor(connection)
    executor.migrate(executor.loader.graph.leaf_nodes())
    assert list(ModelStatus.objects.values_list("model__name", "n", "scored", "at")) == [("a1", 7, 6, moment)]
