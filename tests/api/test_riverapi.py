"""The riverapi protocol: by the published client against a real server, and by raw requests."""

import io
import pickle
from typing import Any

import dill
import pytest
from river import cluster, linear_model, multiclass, neighbors, preprocessing, tree
from riverapi.main import Client

from tests.api_client import Api, linear

WALK = [((8, 16, 8), 120), ((8, 8, 16), 150), ((8, 14, 8), 124), ((8, 9, 17), 155)]
POINTS = [(dict(zip("xyz", size, strict=True)), seconds) for size, seconds in WALK]
PREDICTIONS = {
    "linear": [74.5383644905866, 88.84723402168493, 76.53802672891392, 88.63618047474489],
    "bayesian": [123.69271255948297, 148.851860786418, 119.5667010241425, 156.12276585012535],
    "passive-aggressive": [171.0125077733422, 84.79484638965116, 151.73526597068874, 93.29488051934324],
}
METRICS = {"MAE": 96.80479640331933, "RMSE": 99.02585314123202, "SMAPE": 104.72412027841295}


def near(values: Any) -> Any:
    return pytest.approx(values, rel=1e-9, abs=0)


def estimators() -> dict[str, Any]:
    return {
        "linear": linear(),
        "bayesian": linear_model.BayesianLinearRegression(),
        "passive-aggressive": linear_model.PARegressor(C=0.01, mode=2, eps=0.1, learn_intercept=False),
    }


def test_the_published_client_gets_what_its_documentation_shows(live_server_url, tmp_path):
    client = Client(live_server_url, quiet=True)
    assert {"id", "status", "name", "description", "documentationUrl", "storage", "river_version", "version"} <= set(
        client.info()
    )
    names = {recipe: client.upload_model(model, "regression") for recipe, model in estimators().items()}
    for name in names.values():
        for x, y in POINTS:
            assert client.learn(name, x, y) == "Successful learn."
    for recipe, name in names.items():
        answers = [client.predict(name, x) for x, _ in POINTS]
        assert [answer["prediction"] for answer in answers] == near(PREDICTIONS[recipe])
        assert all(answer["model"] == name and answer["identifier"] for answer in answers)
    assert client.metrics(names["linear"]) == near(METRICS)
    assert client.models() == {"models": sorted(names.values())}
    assert set(client.get_model_json(names["linear"])) == {"StandardScaler", "LinearRegression"}

    calls = client.stats(names["linear"])
    assert {kind: calls[kind]["n_calls"] for kind in calls} == {"predict": 4, "learn": 4}

    path = client.download_model(names["linear"], str(tmp_path / "linear.pkl"))
    with open(path, "rb") as file:
        downloaded = pickle.load(file)
    assert [downloaded.predict_one(x) for x, _ in POINTS] == near(PREDICTIONS["linear"])

    identifier = client.predict(names["bayesian"], POINTS[0][0])["identifier"]
    assert client.label(121, identifier, names["bayesian"]) == "Successful label."
    client.delete_model(names["linear"])
    assert names["linear"] not in client.models()["models"]


def test_the_published_clients_events_carry_the_walk(live_server_url):
    client = Client(live_server_url, quiet=True)
    name = client.upload_model(linear(), "regression", "walk")
    lines = client.stream_events()
    with pytest.MonkeyPatch.context() as patch:
        # Its stream() is a generator: it connects when it is first asked, so the answer to ask for is one that waits.
        patch.setitem(client.headers, "Last-Event-ID", "0")
        for x, y in POINTS:
            client.learn(name, x, y)
        told = [next(lines) for _ in range(3 * len(POINTS))]
    assert told[::3] == ["event: learn"] * 4
    assert all(line.startswith("data: ") and '"model":"walk"' in line for line in told[1::3])
    lines.close()


pytest_django_db = pytest.mark.django_db(transaction=True)


@pytest_django_db
def test_raw_requests_walk_the_same_way(api):
    for name, model in estimators().items():
        response = api.client.post(f"/api/model/regression/{name}/", dill.dumps(model), "application/octet-stream")
        assert (response.status_code, response.json()) == (201, {"name": name})
        for x, y in POINTS:
            response = api.post("/api/learn/", {"model": name, "features": x, "ground_truth": y})
            assert (response.status_code, response.json()) == (201, "Successful learn.")
    for name, expected in PREDICTIONS.items():
        found = [api.ok("/api/predict/", {"model": name, "features": x}, 201)["prediction"] for x, _ in POINTS]
        assert found == near(expected)
    assert api.ok("/api/metrics/?model=linear") == near(METRICS)
    assert api.get("/api/metrics/", {"model": "linear"}).json() == near(METRICS)


@pytest_django_db
def test_an_upload_without_a_name_gets_a_friendly_one(api):
    response = api.client.post("/api/model/regression/", dill.dumps(linear()), "application/octet-stream")
    assert response.status_code == 201
    name = response.json()["name"]
    assert api.ok("/api/models/") == {"models": [name]}
    assert api.ok("/api/v1/models/" + name + "/")["stream"] == name


@pytest_django_db
def test_an_upload_joins_the_stream_it_names_and_learns_its_history(api, work):
    api.stream("s")
    for n in range(5):
        api.learn({"a": n}, 2 * n)
    response = api.client.post("/api/model/regression/late/?stream=s", dill.dumps(linear()), "application/octet-stream")
    assert response.status_code == 201
    work()
    shown = api.ok("/api/v1/models/late/")
    assert (shown["stream"], shown["status"], shown["learned"]) == ("s", "ready", 5)


@pytest_django_db
def test_an_upload_in_place_of_a_deleted_model_begins_with_nothing(api):
    for _ in range(2):
        assert api.upload("again").status_code == 201
        for x, y in POINTS:
            assert api.post("/api/learn/", {"model": "again", "features": x, "ground_truth": y}).status_code == 201
        found = [api.ok("/api/predict/", {"model": "again", "features": x})["prediction"] for x, _ in POINTS]
        assert found == near(PREDICTIONS["linear"])
        assert api.ok("/api/metrics/?model=again") == near(METRICS)
        assert api.delete("/api/model/?model=again").status_code == 204


@pytest_django_db
def test_a_model_is_shown_as_its_predecessor_shows_it(api):
    api.upload("m")
    assert api.ok("/api/model/m/") == {
        "StandardScaler": {"with_std": True, "window_size": None},
        "LinearRegression": {
            "optimizer": ["SGD", {"lr": ["Constant", {"learning_rate": 0.01}]}],
            "loss": ["Squared"],
            "l2": 0.0,
            "l1": 0.0,
            "intercept_init": 0.0,
            "intercept_lr": ["Constant", {"learning_rate": 0.1}],
            "clip_gradient": 1000000000000.0,
            "initializer": ["Zeros"],
        },
    }
    api.upload("pa", estimator=linear_model.PARegressor(C=0.01))
    assert api.ok("/api/model/pa/") == {"C": 0.01, "mode": 1, "eps": 0.1, "learn_intercept": True}


@pytest_django_db
def test_what_was_learned_is_in_the_download(api):
    api.upload("m")
    for x, y in POINTS:
        api.post("/api/learn/", {"model": "m", "features": x, "ground_truth": y})
    response = api.get("/api/model/download/m/")
    assert response.headers["Content-Type"] == "application/octet-stream"
    model = dill.load(io.BytesIO(response.content))
    assert [model.predict_one(x) for x, _ in POINTS] == near(PREDICTIONS["linear"])


@pytest_django_db
@pytest.mark.parametrize(
    "body, content_type",
    [(b"model=m", "application/x-www-form-urlencoded"), (b'{"model": "m"}', "application/json"), (b"", "?model=m")],
)
def test_a_model_is_deleted_by_form_json_or_query_and_its_log_stays(api, body, content_type):
    api.upload("m")
    api.post("/api/learn/", {"model": "m", "features": {"a": 1}, "ground_truth": 2})
    query = content_type if content_type.startswith("?") else ""
    response = api.delete(f"/api/model/{query}", body, content_type)
    assert (response.status_code, response.content) == (204, b"")
    assert api.ok("/api/models/") == {"models": []}
    assert api.ok("/api/v1/streams/m/")["head"] == 1
    assert api.delete(f"/api/model/{query}", body, content_type).status_code == 404


@pytest_django_db
def test_models_are_listed_by_name_in_order(api):
    for name in ("b", "a", "C"):
        api.upload(name)
    assert api.ok("/api/models/") == {"models": ["C", "a", "b"]}


@pytest_django_db
def test_predictions_are_kept_unless_the_caller_says_otherwise(api):
    api.upload("m")
    kept = api.post("/api/predict/", {"model": "m", "features": {"a": 1}})
    assert kept.status_code == 201
    assert set(kept.json()) == {"model", "prediction", "identifier"}
    own = api.post("/api/predict/", {"model": "m", "features": {"a": 1}, "identifier": "job-1"})
    assert (own.status_code, own.json()["identifier"]) == (201, "job-1")
    free = api.post("/api/predict/", {"model": "m", "features": {"a": 1}, "identifier": False})
    assert (free.status_code, set(free.json())) == (200, {"model", "prediction"})


@pytest_django_db
@pytest.mark.parametrize(
    "flavor, estimator, label",
    [
        ("regression", linear(), 0),
        ("regression", linear(), 0.0),
        ("binary", linear_model.LogisticRegression(), False),
        ("multiclass", multiclass.OneVsRestClassifier(linear_model.LogisticRegression()), ""),
    ],
)
def test_what_is_false_is_a_label_too(api, flavor, estimator, label):
    assert api.upload("m", flavor, estimator).status_code == 201
    identifier = api.ok("/api/predict/", {"model": "m", "features": {"a": 1.0}})["identifier"]
    response = api.post("/api/label/", {"model": "m", "identifier": identifier, "label": label})
    assert (response.status_code, response.json()) == (200, "Successful label.")
    (seen,) = api.ok("/api/v1/streams/m/observations/")["observations"]
    assert (seen["y"], type(seen["y"]), seen["identifier"]) == (label, type(label), identifier)


@pytest_django_db
def test_learning_with_an_identifier_needs_no_features(api):
    api.upload("m")
    api.post("/api/learn/", {"model": "m", "features": {"a": 1.0}, "ground_truth": 2})
    identifier = api.ok("/api/predict/", {"model": "m", "features": {"a": 3.0}})["identifier"]
    response = api.post("/api/learn/", {"model": "m", "identifier": identifier, "ground_truth": 6})
    assert (response.status_code, response.json()) == (201, "Successful learn.")
    assert api.ok("/api/v1/streams/m/observations/")["observations"][-1]["x"] == {"a": 3.0}
    again = api.post("/api/learn/", {"model": "m", "identifier": identifier, "ground_truth": 6})
    assert again.status_code == 201
    assert api.ok("/api/v1/streams/m/")["head"] == 2


@pytest_django_db
def test_a_prediction_that_the_caller_made_is_what_is_scored(api):
    api.upload("m")
    for y in (10.0, 20.0):
        api.post("/api/learn/", {"model": "m", "features": {"a": 1.0}, "ground_truth": y, "prediction": y - 3})
    assert api.ok("/api/metrics/?model=m")["MAE"] == 3.0


@pytest_django_db
@pytest.mark.parametrize(
    "flavor, estimator, y, names",
    [
        ("regression", linear(), 1.5, {"MAE", "RMSE", "SMAPE"}),
        ("binary", linear_model.LogisticRegression(), True, {"Accuracy", "LogLoss", "Precision", "Recall", "F1"}),
        (
            "multiclass",
            tree.HoeffdingTreeClassifier(),
            "red",
            {"Accuracy", "CrossEntropy"}
            | {f"{kind}{name}" for kind in ("Macro", "Micro") for name in ("Precision", "Recall", "F1")},
        ),
        ("cluster", cluster.KMeans(n_clusters=2, seed=1), None, set()),
        ("neighbor", neighbors.KNNRegressor(), 1.5, set()),
        ("custom", preprocessing.StandardScaler() | linear_model.LinearRegression(), 1.5, set()),
    ],
)
def test_every_flavor_has_the_metrics_of_its_predecessor(api, flavor, estimator, y, names):
    assert api.upload("m", flavor, estimator).status_code == 201
    for n in range(3):
        body = {"model": "m", "features": {"a": 1.0 + n, "b": n}}
        response = api.post("/api/learn/", body if y is None else {**body, "ground_truth": y})
        assert response.status_code == 201, response.content
    assert api.post("/api/predict/", {"model": "m", "features": {"a": 1.0, "b": 0}}).status_code == 201
    assert set(api.ok("/api/metrics/?model=m")) == names


@pytest_django_db
def test_a_metric_that_is_not_finite_is_null(api):
    api.upload("m")
    for y in (1e308, -1e308, 1e308):
        api.post("/api/learn/", {"model": "m", "features": {"a": 1.0}, "ground_truth": y, "prediction": -y})
    metrics = api.ok("/api/metrics/?model=m")
    assert metrics["RMSE"] is None


@pytest_django_db
def test_stats_count_accepted_calls_alone(api: Api) -> None:
    api.upload("m")
    for _ in range(3):
        api.post("/api/learn/", {"model": "m", "features": {"a": 1.0}, "ground_truth": 1})
        api.post("/api/learn/", {"model": "m", "features": {"a": 1.0}, "ground_truth": "no"})
        api.post("/api/predict/", {"model": "m", "features": {"a": 1.0}})
    api.post("/api/predict/", {"model": "m", "features": {}})
    by_query, by_body = api.ok("/api/stats/?model=m"), api.get("/api/stats/", {"model": "m"}).json()
    assert by_query == by_body
    for kind in ("learn", "predict"):
        calls = by_query[kind]
        assert calls["n_calls"] == 3
        assert calls["mean_duration"] > 0
        assert calls["ewm_duration"] > 0
        assert calls["mean_duration_human"].endswith("ns")
        assert set(calls) == {
            "n_calls",
            "mean_duration",
            "mean_duration_human",
            "ewm_duration",
            "ewm_duration_human",
        }
