"""Bad input over the riverapi protocol gets its 4xx in the one shape, and changes nothing."""

import pickle
from typing import Any

import dill
import pytest
from river import cluster, linear_model, preprocessing, tree

from tests.api_client import everything, linear, refused

pytestmark = pytest.mark.django_db

UP = {"a": 1.5}


@pytest.mark.one_database
@pytest.mark.parametrize(
    "path, body, status, field",
    [
        ("/api/learn/", {"features": UP, "ground_truth": 1}, 400, "model"),
        ("/api/learn/", {"model": "", "features": UP, "ground_truth": 1}, 400, "model"),
        ("/api/learn/", {"model": 7, "features": UP, "ground_truth": 1}, 400, "model"),
        ("/api/learn/", {"model": "nobody", "features": UP, "ground_truth": 1}, 404, "model"),
        ("/api/learn/", {"model": "up", "ground_truth": 1}, 400, "features"),
        ("/api/learn/", {"model": "up", "features": {}, "ground_truth": 1}, 400, "features"),
        ("/api/learn/", {"model": "up", "features": [1], "ground_truth": 1}, 400, "features"),
        ("/api/learn/", {"model": "up", "features": {"a": {"b": 1}}, "ground_truth": 1}, 400, "features.a"),
        ("/api/learn/", {"model": "up", "features": {"a": None}, "ground_truth": 1}, 400, "features.a"),
        ("/api/learn/", {"model": "up", "features": UP, "ground_truth": "fast"}, 400, "ground_truth"),
        ("/api/learn/", {"model": "up", "features": UP, "ground_truth": [1]}, 400, "ground_truth"),
        ("/api/learn/", {"model": "up", "features": UP}, 400, "ground_truth"),
        ("/api/learn/", {"model": "up", "features": UP, "ground_truth": 1, "prediction": [1]}, 400, "prediction"),
        ("/api/learn/", {"model": "up", "identifier": "unknown", "ground_truth": 1}, 404, "identifier"),
        ("/api/learn/", {"model": "up", "identifier": 7, "ground_truth": 1}, 400, "identifier"),
        ("/api/learn/", {"model": "up", "identifier": "kept", "ground_truth": 1}, 400, "model"),
        ("/api/predict/", {"features": UP}, 400, "model"),
        ("/api/predict/", {"model": "nobody", "features": UP}, 404, "model"),
        ("/api/predict/", {"model": "up"}, 400, "features"),
        ("/api/predict/", {"model": "up", "features": {}}, 400, "features"),
        ("/api/predict/", {"model": "up", "features": "a"}, 400, "features"),
        ("/api/predict/", {"model": "up", "features": UP, "identifier": 7}, 400, "identifier"),
        ("/api/label/", {"identifier": "kept", "label": 1}, 400, "model"),
        ("/api/label/", {"model": "lin", "label": 1}, 400, "identifier"),
        ("/api/label/", {"model": "lin", "identifier": "kept"}, 400, "label"),
        ("/api/label/", {"model": "up", "identifier": "kept", "label": 1}, 400, "model"),
        ("/api/label/", {"model": "lin", "identifier": "unknown", "label": 1}, 404, "identifier"),
        ("/api/label/", {"model": "lin", "identifier": "late", "label": 1}, 410, "identifier"),
        ("/api/label/", {"model": "lin", "identifier": "done", "label": 4}, 409, "label"),
        ("/api/label/", {"model": "lin", "identifier": "kept", "label": "fast"}, 400, "label"),
    ],
)
def test_a_bad_call_over_the_riverapi_protocol_is_refused_by_name(world, path, body, status, field):
    before = everything(world)
    refused(world.post(path, body), status, field)
    assert everything(world) == before


def test_what_is_not_finite_is_refused_over_the_riverapi_protocol(world):
    before = everything(world)
    for number in (b"NaN", b"Infinity", b"-Infinity", b"1e999"):
        refused(
            world.post("/api/learn/", b'{"model": "up", "features": {"a": 1}, "ground_truth": ' + number + b"}"), 400
        )
        refused(world.post("/api/predict/", b'{"model": "up", "features": {"a": ' + number + b"}}"), 400)
    assert everything(world) == before


class _Runs:
    def __reduce__(self) -> Any:
        import os

        return os.system, ("touch /nowhere/run",)


GOOD = dill.dumps(linear())


@pytest.mark.one_database
@pytest.mark.parametrize(
    "address, data, status, field",
    [
        ("regression/new", b"", 400, None),
        ("regression/new", b"not a pickle", 400, None),
        ("regression/new", GOOD[:-20], 400, None),
        ("regression/new", GOOD[:1], 400, None),
        ("regression/new", pickle.dumps({"a": 1}), 400, None),
        ("regression/new", pickle.dumps(_Runs()), 400, None),
        ("regression/new", dill.dumps(eval("lambda x: x", {})), 400, None),
        ("regression/new", dill.dumps(preprocessing.StandardScaler()), 400, "flavor"),
        ("regression/new", dill.dumps(cluster.KMeans), 400, None),
        ("binary/new", dill.dumps(linear_model.LinearRegression()), 400, "flavor"),
        ("creme/new", GOOD, 400, "flavor"),
        ("regresion/new", GOOD, 400, "flavor"),
        ("regression/up", GOOD, 409, "name"),
        ("regression/a b", GOOD, 400, "name"),
        ("regression/new?stream=nowhere", GOOD, 404, "stream"),
        ("regression/new?stream=", GOOD, 404, "stream"),
        ("binary/new?stream=s", dill.dumps(linear_model.LogisticRegression()), 400, "flavor"),
        ("multiclass/new", dill.dumps(tree.HoeffdingTreeRegressor()), 201, None),
    ],
)
def test_a_bad_upload_is_refused(world, address, data, status, field):
    before = everything(world)
    path, question, query = address.partition("?")
    response = world.client.post(f"/api/model/{path}/{question}{query}", data, "application/octet-stream")
    if status == 201:
        assert response.status_code == 201  # a regressor has predict_one, which is what the flavor asks for
        return
    refused(response, status, field)
    assert everything(world) == before


def test_a_flavor_that_there_is_not_is_refused_without_a_name_too(world):
    refused(world.client.post("/api/model/nothing/", GOOD, "application/octet-stream"), 400, "flavor")


@pytest.mark.one_database
@pytest.mark.parametrize(
    "body, content_type, status",
    [
        (b"", "application/x-www-form-urlencoded", 400),
        (b"name=up", "application/x-www-form-urlencoded", 400),
        (b"model=nobody", "application/x-www-form-urlencoded", 404),
        (b'{"model": 7}', "application/json", 400),
        (b'{"model"', "application/json", 400),
        (b"\xff\xfe", "application/x-www-form-urlencoded", 400),
    ],
)
def test_a_bad_deletion_is_refused(world, body, content_type, status):
    before = everything(world)
    refused(world.delete("/api/model/", body, content_type), status, "model" if body[1:] != b'"model"' else None)
    assert everything(world) == before
