"""What an upload holds is shown, refused and recorded without a 500, however it is made."""

import pickle
import time
from functools import partial
from typing import Any

import numpy as np
import orjson
import pytest
from river import compose, linear_model, neighbors, preprocessing

from server.accounts.models import AuditEntry
from server.learning.hyperparameters import hyperparameters
from tests.api_client import Api, refused

pytestmark = pytest.mark.django_db(transaction=True)
MOST_BYTES = 1_000_000


def upload(api: Api, data: bytes, name: str = "up") -> Any:
    return api.client.post(f"/api/model/regression/{name}/", data, "application/octet-stream")


def scaled(**attributes: Any) -> Any:
    """A pipeline whose last step has these parameters, unchecked by its constructor."""
    last = linear_model.LinearRegression()
    vars(last).update(attributes)
    return preprocessing.StandardScaler() | last


def nested(depth: int) -> Any:
    value: Any = ["x"]
    for _ in range(depth):
        value = [value, value]
    return value


def text_op(text: str) -> bytes:
    encoded = text.encode("utf-8", "surrogatepass")
    return b"X" + len(encoded).to_bytes(4, "little") + encoded


@pytest.mark.parametrize(
    ("module", "name"),
    [("\ud800", "x"), ("river.linear_model", "\ud800"), ("river.\ud800", "y"), ("\udfff" * 100_000, "x" * 100_000)],
    ids=["module", "name", "submodule", "long"],
)
def test_a_global_whose_name_cannot_be_encoded_is_refused_by_name(api, module, name):
    data = b"\x80\x04" + text_op(module) + text_op(name) + b"\x93."
    error = refused(upload(api, data), 400)
    assert "\\ud" in error["message"]
    assert len(error["message"]) <= 4000


@pytest.mark.one_database
@pytest.mark.parametrize(
    "wrong", ["__\ud800__", "__\x00__", "__" + "a" * 200_000 + "__"], ids=["surrogate", "NUL", "long"]
)
@pytest.mark.parametrize("as_slot", [False, True])
def test_other_names_of_an_upload_are_refused_likewise(api, as_slot, wrong):
    state: Any = (None, {wrong: 1}) if as_slot else {wrong: 1}
    made = b"\x80\x04criver.linear_model.lin_reg\nLinearRegression\n)\x81"
    refused(upload(api, made + pickle.dumps(state, 4)[2:-1] + b"b."), 400)


VALUES = {
    "a surrogate": "\ud800",
    "a list with one": ["a", {"\udfff": 1}],
    "rows of nothing": np.empty((2**40, 0)),
    "an empty cube": np.empty((2**20, 2**20, 0)),
    "a large array": np.zeros(100_000),
    "text of numpy": np.array(["\ud800"]),
    "a long text": "x" * 5_000_000,
    "an integer of 65 bits": 2**64,
    "a huge integer": 2**500_000,
    "a key that is not text": {(1, "\ud800"): 2, None: 3},
    "much sharing": nested(18),
    "a function": partial(neighbors.KNNRegressor, 5),
    "NaN": float("nan"),
}


@pytest.mark.one_database
@pytest.mark.parametrize("kind", VALUES)
def test_a_parameter_of_any_kind_is_shown(api, kind):
    response = upload(api, pickle.dumps(scaled(intercept_init=VALUES[kind]), 4))
    if response.status_code == 400:  # refused by the loader: nothing was made
        refused(response, 400)
        assert api.ok("/api/models/") == {"models": []}
        return
    assert response.status_code == 201, response.content
    began = time.process_time()
    for path in ("/api/model/up/", "/api/v1/models/up/", "/api/v1/models/"):
        found = api.get(path)
        assert found.status_code == 200, (path, found.content[:500])
        assert len(found.content) < MOST_BYTES, path
    assert time.process_time() - began < 20  # some would take for ever
    assert AuditEntry.objects.filter(action="model.create", target="up").exists()


@pytest.mark.one_database
@pytest.mark.parametrize("kind", VALUES)
def test_hyperparameters_are_told_in_bounded_time_and_size(kind):
    """Also of what no upload can bring in."""
    began = time.process_time()
    found = orjson.dumps(hyperparameters(scaled(intercept_init=VALUES[kind])))
    assert b"intercept_init" in found
    assert len(found) < MOST_BYTES
    assert time.process_time() - began < 10


def test_a_pipeline_shared_again_and_again_is_shown_in_a_bounded_answer(api):
    step: Any = compose.Select("a")
    for _ in range(12):
        union = compose.TransformerUnion()
        union.transformers = {"p": step, "q": step}
        step = union
    model = compose.Pipeline(linear_model.LinearRegression())
    model.steps = {"u": step, **model.steps}
    response = upload(api, pickle.dumps(model, 4))
    assert response.status_code == 201, response.content
    for path in ("/api/model/up/", "/api/v1/models/up/"):
        found = api.get(path)
        assert found.status_code == 200
        assert len(found.content) < MOST_BYTES


@pytest.mark.one_database
@pytest.mark.parametrize(
    "name", ["n" * 101, "", "a\nb", "\ud800", "\u202e", 7], ids=["long", "none", "line", "surrogate", "turned", "7"]
)
@pytest.mark.parametrize("kind", [compose.Pipeline, compose.TransformerUnion, compose.TransformerProduct])
def test_the_names_of_steps_are_short_and_printable(api, kind, name):
    step = kind(compose.Select("a"), compose.Select("b"))
    held = step.steps if kind is compose.Pipeline else step.transformers
    held[name] = held.pop(next(iter(held)))
    model = compose.Pipeline(("inner", compose.Select("a")), linear_model.LinearRegression())
    model.steps = {"inner": step, "last": model.steps["LinearRegression"]}
    error = refused(upload(api, pickle.dumps(model, 4)), 400)
    assert ("half a character" if name == "\ud800" else "step whose name") in error["message"]
    held["n" * 100] = held.pop(name)
    assert upload(api, pickle.dumps(model, 4)).status_code == 201


def test_a_prediction_that_cannot_be_encoded_is_no_500(api):
    """A classifier that answers a label that can't be encoded."""
    from river import dummy

    model = dummy.PriorClassifier()
    model.learn_one({"a": 1}, "\ud800")
    made = api.client.post("/api/model/multiclass/up/", pickle.dumps(model, 4), "application/octet-stream")
    if made.status_code == 400:
        return
    for path, body in (
        ("/api/v1/models/up/predict/", {"x": {"a": 1}}),
        ("/api/v1/models/up/predict/", {"x": {"a": 1}, "track": True}),
        ("/api/v1/models/up/predict/", {"xs": [{"a": 1}]}),
        ("/api/predict/", {"model": "up", "features": {"a": 1}}),
        ("/api/predict/", {"model": "up", "features": {"a": 1}, "identifier": False}),
    ):
        assert api.post(path, body).status_code in (200, 201, 400), (path, body)
