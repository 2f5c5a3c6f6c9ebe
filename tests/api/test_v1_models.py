"""Models over the native API."""

import pickle
from typing import Any

import pytest
from river import linear_model, preprocessing

from server.core.db import batched_deletion
from server.learning.models import Model, Prediction, Snapshot
from server.learning.recipes import catalog
from server.streams.models import Stream
from tests.api_client import Api
from tests.people import person, secret_of

pytestmark = pytest.mark.django_db(transaction=True)

PIPELINE = {
    "class": "compose.Pipeline",
    "steps": [
        {"class": "preprocessing.StandardScaler"},
        {"class": "linear_model.LinearRegression", "params": {"intercept_lr": 0.1}},
    ],
}


@pytest.fixture
def fed(api: Api) -> Api:
    """A stream with a model and ten observations in two segments."""
    api.stream("s", segment="k")
    api.model("avg", "s", "mean")
    for n in range(10):
        api.learn({"a": n, "k": "even" if n % 2 == 0 else "odd"}, 2.0 * n)
    return api


def test_recipes_are_listed_with_their_parameters(api):
    listed = api.ok("/api/v1/recipes/")["recipes"]
    assert listed == catalog.listing()
    assert {"linear", "bayesian", "passive-aggressive", "runtime"} <= {recipe["name"] for recipe in listed}


def test_every_recipe_makes_a_model_that_predicts_and_learns(api):
    for recipe in api.ok("/api/v1/recipes/")["recipes"]:
        name, flavor = recipe["name"], recipe["flavor"]
        kind = {"regression": "number", "binary": "boolean", "multiclass": "category"}[flavor]
        api.ok("/api/v1/streams/", {"name": name, "target": {"name": "y", "kind": kind}}, 201)
        made = api.model(f"m-{name}", name, name)
        assert set(made["parameters"]) == {parameter["name"] for parameter in recipe["parameters"]}
        y: Any = {"number": 1.5, "boolean": True, "category": "red"}[kind]
        of_bond = {"bond": "Zr-Cu"} | {f"s{k}": 0.1 * k for k in range(8)}
        for n in range(3):
            x = of_bond | {"distance": 2.5 + n / 10} if name.startswith("bond") else {"x": n + 1, "y": 2, "z": 3}
            receipt = api.learn(x, y, stream=name)
            assert "error" not in receipt["models"][f"m-{name}"], receipt
        assert api.ok(f"/api/v1/models/m-{name}/predict/", {"x": x})["prediction"] is not None


def test_a_recipe_takes_parameters_and_shows_them_all(api):
    api.stream("s")
    made = api.model("lin", "s", "linear", parameters={"intercept_lr": 0.5})
    assert made["parameters"] == {"intercept_lr": 0.5, "learning_rate": 0.01}
    shown = api.ok("/api/v1/models/lin/")["estimator"]
    assert shown["LinearRegression"]["intercept_lr"] == ["Constant", {"learning_rate": 0.5}]


def test_a_described_estimator_is_the_one_that_learns(api):
    api.stream("s")
    body = {"name": "m", "stream": "s", "flavor": "regression", "estimator": PIPELINE}
    response = api.post("/api/v1/models/", body)
    assert (response.status_code, response.headers["Location"]) == (201, "/api/v1/models/m/")
    own = preprocessing.StandardScaler() | linear_model.LinearRegression(intercept_lr=0.1)
    for n in range(5):
        x, y = {"a": n, "b": n * n}, 3.0 * n
        assert api.learn(x, y)["models"]["m"]["prediction"] == own.predict_one(x)
        own.learn_one(x, y)


def test_models_are_listed_all_or_of_one_stream(api):
    for stream in ("s", "t"):
        api.stream(stream)
        api.model(f"{stream}-2", stream)
        api.model(f"{stream}-1", stream)
    assert [model["name"] for model in api.ok("/api/v1/models/")["models"]] == ["s-1", "s-2", "t-1", "t-2"]
    assert [model["name"] for model in api.ok("/api/v1/models/?stream=t")["models"]] == ["t-1", "t-2"]


def test_models_are_listed_in_as_many_queries_however_many_there_are(api, django_assert_max_num_queries):
    api.stream("s")
    for n in range(5):
        api.model(f"m{n}", "s")
    with django_assert_max_num_queries(1):
        assert len(api.ok("/api/v1/models/")["models"]) == 5


def test_a_model_is_shown_now_and_as_of_any_observation(fed):
    now = fed.ok("/api/v1/models/avg/")
    assert (now["at"], now["learned"], now["stream"], now["status"]) == (10, 10, "s", "ready")
    then = fed.ok("/api/v1/models/avg/?at=4")
    assert (then["at"], then["learned"]) == (4, 4)
    assert fed.ok("/api/v1/models/avg/?at=0")["learned"] == 0
    assert fed.ok("/api/v1/models/avg/?at=10")["metrics"] == now["metrics"]
    assert then["metrics"] != now["metrics"]


def test_metrics_are_overall_rolling_by_segment_and_as_of_an_observation(fed):
    found = fed.ok("/api/v1/models/avg/metrics/")
    assert set(found["metrics"]) == {"MAE", "RMSE", "SMAPE", "R2", "Bias"}
    assert found["rolling"]["window"] == 100
    assert set(found["segments"]) == {"even", "odd"}
    assert sum(part["n"] for part in found["segments"].values()) == found["n"] == 9
    odd = fed.ok("/api/v1/models/avg/metrics/?segment=odd")
    assert (odd["segment"], odd["n"]) == ("odd", 5)
    assert odd["metrics"] == {key: value for key, value in found["segments"]["odd"].items() if key != "n"}
    # after three observations: errors of |2 - 0| and |4 - 1|
    assert fed.ok("/api/v1/models/avg/metrics/?at=3")["metrics"]["MAE"] == 2.5


def test_the_curve_ends_with_the_metrics_of_now(fed):
    history = fed.ok("/api/v1/models/avg/history/")
    last = dict(zip(history["columns"], history["points"][-1], strict=True))
    metrics = fed.ok("/api/v1/models/avg/metrics/")
    assert last["n"] == metrics["n"]
    assert last["MAE"] == metrics["metrics"]["MAE"]
    assert last["rolling MAE"] == metrics["rolling"]["MAE"]


def test_a_download_is_the_estimator_as_it_is_or_was(fed):
    response = fed.get("/api/v1/models/avg/download/")
    assert response.headers["Content-Disposition"] == 'attachment; filename="avg.pkl"'
    assert pickle.loads(response.content).predict_one({}) == 9.0
    assert pickle.loads(fed.get("/api/v1/models/avg/download/?at=3").content).predict_one({}) == 2.0


def test_stats_say_what_was_called(fed):
    fed.ok("/api/v1/models/avg/predict/", {"x": {"a": 1, "k": "odd"}})
    found = fed.ok("/api/v1/models/avg/stats/")
    assert (found["model"], found["learn"]["n_calls"], found["predict"]["n_calls"]) == ("avg", 10, 1)


def test_predictions_of_one_and_of_many_are_the_same(fed):
    xs = [{"a": n, "k": "odd"} for n in range(3)]
    many = fed.ok("/api/v1/models/avg/predict/", {"xs": xs})
    one = fed.ok("/api/v1/models/avg/predict/", {"x": xs[0]})
    assert many == {"at": 10, "predictions": [9.0, 9.0, 9.0]}
    assert one == {"at": 10, "prediction": 9.0}


def test_the_runtime_recipe_answers_with_an_interval(api):
    api.stream("s")
    api.model("run", "s", "runtime")
    for n in range(1, 30):
        api.learn({"x": n, "y": 2, "z": 2}, 3.0 * n)
    answer = api.ok("/api/v1/models/run/predict/", {"x": {"x": 5, "y": 2, "z": 2}, "level": 0.9})
    low, high = answer["interval"]
    assert 0 <= low <= answer["prediction"] <= high


def test_a_model_added_to_a_stream_with_history_learns_it_first(fed, work):
    made = fed.model("late", "s", "mean")
    assert (made["status"], made["progress"], made["head"]) == ("backfilling", 0, 10)
    work()
    late, first = fed.ok("/api/v1/models/late/"), fed.ok("/api/v1/models/avg/")
    assert (late["status"], late["learned"], late["metrics"]) == ("ready", 10, first["metrics"])


def test_a_model_may_be_told_to_begin_now(fed):
    made = fed.model("now", "s", "mean", backfill=False)
    assert (made["status"], made["since"]) == ("ready", 10)
    fed.learn({"a": 1, "k": "odd"}, 7.0)
    assert fed.ok("/api/v1/models/now/predict/", {"x": {"a": 1, "k": "odd"}})["prediction"] == 7.0


def test_a_deleted_model_is_gone_and_the_log_stays(fed):
    response = fed.delete("/api/v1/models/avg/")
    assert (response.status_code, response.content) == (204, b"")
    assert fed.get("/api/v1/models/avg/").status_code == 404
    assert fed.delete("/api/v1/models/avg/").status_code == 404
    assert fed.ok("/api/v1/streams/s/")["head"] == 10
    assert "predictions" not in fed.ok("/api/v1/streams/s/observations/")["observations"][0]
    fed.learn({"a": 1, "k": "odd"}, 7.0)


def test_many_kept_predictions_are_deleted_in_turns_and_none_is_left(fed, monkeypatch):
    """Others write between two turns; who asks again after an end among them has the rest deleted."""
    monkeypatch.setattr(batched_deletion, "MAX_ROWS", 2)
    path = "/api/v1/models/avg/"
    for number in range(7):
        fed.ok(f"{path}predict/", {"x": {"a": 1, "k": "odd"}, "identifier": f"p{number}"})
    left = []
    monkeypatch.setattr(batched_deletion.time, "sleep", lambda seconds: left.append(Prediction.objects.count()))
    assert fed.delete(path).status_code == 204
    assert left == [5, 3, 1]
    assert (Prediction.objects.count(), fed.get(path).status_code) == (0, 404)


def test_large_kept_predictions_are_deleted_few_at_a_time(fed, monkeypatch):
    """A turn is limited by bytes, too; a prediction that is larger than a turn has its own."""
    monkeypatch.setattr(batched_deletion, "MAX_BYTES", 5_000)
    path = "/api/v1/models/avg/"
    for number, size in enumerate((1_500, 1_500, 9_000, 1_500, 1_500, 1_500)):
        fed.ok(f"{path}predict/", {"x": {"a": 1, "k": "odd"}, "identifier": f"p{number}"})
        Prediction.objects.filter(identifier=f"p{number}").update(x=f'{{"k":"{"o" * size}"}}')
    left = []
    monkeypatch.setattr(batched_deletion.time, "sleep", lambda seconds: left.append(Prediction.objects.count()))
    assert fed.delete(path).status_code == 204
    assert left == [4, 3, 1]
    assert (Prediction.objects.count(), fed.get(path).status_code) == (0, 404)


def test_many_snapshots_are_deleted_in_turns_but_for_those_that_the_model_needs(fed, monkeypatch):
    """Were it to stay after all, it would begin from its newest, or from the one that stands for what isn't kept of its log."""
    model = Model.objects.get(name="avg")
    Stream.objects.filter(pk=model.stream_id).update(whole_after=3)
    Snapshot.objects.filter(model=model).delete()
    Snapshot.objects.bulk_create(
        Snapshot(model=model, generation=model.generation, seq=seq, state=b"x" * 100) for seq in range(1, 10)
    )
    left = []
    monkeypatch.setattr(batched_deletion, "MAX_BYTES", 300)
    monkeypatch.setattr(
        batched_deletion.time,
        "sleep",
        lambda seconds: left.append(list(Snapshot.objects.values_list("seq", flat=True))),
    )
    assert fed.delete("/api/v1/models/avg/").status_code == 204
    assert [sorted(seqs) for seqs in left] == [[3, 5, 6, 7, 8, 9], [3, 8, 9]]
    assert not Snapshot.objects.exists()


def test_who_made_it_is_kept(api, required):
    api.client.defaults["HTTP_AUTHORIZATION"] = f"Bearer {secret_of(person('ada'))}"
    assert api.stream("s")["created_by"] == "ada"
    assert api.model("m", "s")["created_by"] == "ada"
    assert api.upload("up").status_code == 201
    assert api.ok("/api/v1/models/up/")["created_by"] == "ada"
