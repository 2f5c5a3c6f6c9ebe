"""The Open Inference Protocol: points as tensors of JSON or of bytes, errors as texts, versions as positions of the log."""

import json
import math
import struct

import numpy as np
import pytest
from river import linear_model

from server.learning import inspection, registry
from server.learning.models import Model
from server.streams import registry as streams
from tests.people import bearer, person, secret_of
from tests.together import together

pytestmark = pytest.mark.django_db(transaction=True)

URL = "/v2/models/m/infer"
LENGTH = "Inference-Header-Content-Length"


@pytest.fixture
def declared(api):
    """A model with intervals, on a stream that declares its features."""
    api.stream("s", features={"x": "number", "y": "number", "z": "number"})
    api.model("m", "s", recipe="runtime")
    for n in range(1, 9):
        api.learn({"x": n, "y": 2 * n, "z": 3}, 10.0 * n + n % 3)
    return api


def one_tensor_each(**columns):
    return {
        "inputs": [
            {"name": name, "shape": [len(values)], "datatype": "FP64", "data": values}
            for name, values in columns.items()
        ]
    }


def matrix(rows, kind="FP64"):
    return {"inputs": [{"name": "x", "shape": [len(rows), len(rows[0])], "datatype": kind, "data": rows}]}


TWO = one_tensor_each(x=[2.0, 5.0], y=[4.0, 10.0], z=[3.0, 3.0])


def columns(response):
    return {output["name"]: output["data"] for output in response["outputs"]}


def refused(api, body, status=400, url=URL, **headers):
    response = api.post(url, body, **headers)
    assert response.status_code == status, response.content
    assert response["Content-Type"] == "application/json"
    data = response.json()
    assert set(data) == {"error"}
    assert isinstance(data["error"], str)
    return data["error"]


def native(api, x, **more):
    return api.ok("/api/v1/models/m/predict/", {"x": x, **more})


def test_a_tensor_for_each_feature_and_one_for_all_come_to_the_same_as_the_native_api(declared):
    right = [native(declared, {"x": n, "y": 2 * n, "z": 3}) for n in (2.0, 5.0)]
    rows = [[2, 4, 3], [5, 10, 3]]
    flat = matrix(rows)
    flat["inputs"][0]["data"] = [value for row in rows for value in row]
    column = one_tensor_each(x=[[2.0], [5.0]], y=[[4], [10]], z=[[3.0], [3.0]])
    for tensor in column["inputs"]:
        tensor["shape"] = [2, 1]
    for body in (TWO, matrix(rows), flat, matrix(rows, "INT32"), column):
        response = declared.ok(URL, {"id": "mine", **body})
        assert (response["model_name"], response["model_version"], response["id"]) == ("m", "8", "mine")
        found = columns(response)
        assert found["prediction"] == [one["prediction"] for one in right]
        assert list(zip(found["low"], found["high"], strict=True)) == [tuple(one["interval"]) for one in right]


def test_outputs_and_the_level_can_be_chosen(declared):
    asked = {**TWO, "outputs": [{"name": "high"}], "parameters": {"level": 0.5}}
    right = native(declared, {"x": 2.0, "y": 4.0, "z": 3.0}, level=0.5)["interval"][1]
    assert columns(declared.ok(URL, asked))["high"][0] == right


def test_bytes_come_as_triton_packs_them(declared):
    values = {"x": [2.0, 5.0], "y": [4.0, 10.0], "z": [3.0, 3.0]}
    kinds = {"x": ("FP64", "<f8"), "y": ("INT16", "<i2"), "z": ("FP32", "<f4")}
    parts = {name: np.array(own, kinds[name][1]).tobytes() for name, own in values.items()}
    head = {
        "parameters": {"binary_data_output": True},
        "inputs": [
            {"name": name, "shape": [2], "datatype": kinds[name][0], "parameters": {"binary_data_size": len(part)}}
            for name, part in parts.items()
        ],
    }
    text = json.dumps(head).encode()
    response = declared.post(URL, text + b"".join(parts.values()), "", **{LENGTH: str(len(text))})
    assert response.status_code == 200, response.content
    length = int(response[LENGTH])
    found = json.loads(response.content[:length])
    assert [output["parameters"]["binary_data_size"] for output in found["outputs"]] == [16, 16, 16]
    prediction = np.frombuffer(response.content[length : length + 16], "<f8").tolist()
    assert prediction == columns(declared.ok(URL, TWO))["prediction"]


def test_a_version_predicts_as_of_its_observation(declared):
    before = columns(declared.ok(URL, TWO))
    for n in range(9, 30):
        declared.learn({"x": n, "y": 2 * n, "z": 3}, 3.0 * n)
    now = columns(declared.ok(URL, TWO))
    assert now["prediction"] != before["prediction"]
    then = declared.ok("/v2/models/m/versions/8/infer", TWO)
    assert then["model_version"] == "8"
    assert columns(then) == before
    assert columns(declared.ok("/v2/models/m/versions/29/infer", TWO)) == now
    for wrong in ("30", "-1", "live", "1" * 30):
        assert "no version" in refused(declared, TWO, 404, f"/v2/models/m/versions/{wrong}/infer")
    assert declared.ok("/api/v1/models/m/stats/")["predict"]["n_calls"] == 2


def test_as_of_predictions_have_their_share_of_slots(declared, monkeypatch):
    declared.learn({"x": 1, "y": 2, "z": 3}, 3.0)
    with inspection.LOOKING_BACK.held(None):
        monkeypatch.setattr(inspection.LOOKING_BACK, "limits", lambda: (1, 1))
        response = declared.post("/v2/models/m/versions/3/infer", TWO)
    assert response.status_code in (429, 503), response.content
    assert "former states" in response.json()["error"]


def test_labels_are_texts_and_categories_come_as_texts(api):
    api.stream("s", target={"name": "t", "kind": "category"}, features={"k": "category", "b": "boolean"})
    api.model("m", "s", recipe="hoeffding-tree-classifier")
    for n in range(40):
        api.learn({"k": "uv"[n % 2], "b": True}, "yes" if n % 2 else "no")
    texts = b"".join(struct.pack("<I", 1) + text for text in (b"u", b"v"))
    head = {
        "inputs": [
            {"name": "k", "shape": [2], "datatype": "BYTES", "parameters": {"binary_data_size": len(texts)}},
            {"name": "b", "shape": [2], "datatype": "BOOL", "data": [True, True]},
        ]
    }
    text = json.dumps(head).encode()
    (output,) = api.post(URL, text + texts, **{LENGTH: str(len(text))}).json()["outputs"]
    right = [native(api, {"k": k, "b": True})["prediction"] for k in "uv"]
    assert (output["datatype"], output["data"]) == ("BYTES", right)
    # PostgreSQL keeps the names of features in an order of its own.
    assert sorted(api.ok("/v2/models/m")["inputs"], key=lambda one: one["name"]) == [
        {"name": "b", "datatype": "BOOL", "shape": [-1]},
        {"name": "k", "datatype": "BYTES", "shape": [-1]},
    ]
    head["inputs"][0] = {"name": "k", "shape": [2], "datatype": "BYTES", "data": ["u", "v"]}
    assert "gives no interval" in refused(api, {**head, "outputs": [{"name": "low"}]})


def test_booleans_come_as_booleans(api):
    api.stream("s", target={"name": "t", "kind": "boolean"})
    api.model("m", "s", recipe="logistic")
    for n in range(20):
        api.learn({"a": n % 2}, bool(n % 2))
    asked = {**one_tensor_each(a=[0.0, 1.0]), "outputs": [{"name": "prediction"}]}
    (output,) = api.ok(URL, asked)["outputs"]
    assert (output["datatype"], output["data"]) == ("BOOL", [False, True])


def test_what_there_is_is_said(declared):
    assert declared.ok("/v2")["extensions"] == ["binary_tensor_data"]
    assert declared.ok("/v2/health/live") == {"live": True}
    assert declared.ok("/v2/health/ready") == {"ready": True}
    found = declared.ok("/v2/models/m")
    assert (found["name"], found["versions"]) == ("m", ["8"])
    assert [tensor["name"] for tensor in found["inputs"]] == ["x", "y", "z"]
    assert [tensor["name"] for tensor in found["outputs"]] == ["prediction", "low", "high"]
    assert declared.ok("/v2/models/m/versions/3")["versions"] == ["3"]
    assert declared.ok("/v2/models/m/ready") == declared.ok("/v2/models/m/versions/3/ready")
    assert declared.get("/v2/models/none").json() == {"error": "no model named 'none'"}
    assert declared.get("/v2/models/none/ready").status_code == 404
    assert declared.get(URL).status_code == 405
    assert declared.post("/v2", {}).status_code == 405
    assert declared.get("/v2/nothing").json()["error"].startswith("nothing is at /v2/nothing")
    Model.objects.update(status=Model.BACKFILLING)
    response = declared.get("/v2/models/m/ready")
    assert (response.status_code, response.json()["ready"]) == (503, False)
    assert "still learning" in response.json()["error"]


def with_input(**changed):
    tensor = {"name": "x", "shape": [1, 3], "datatype": "FP64", "data": [1.0, 2.0, 3.0], **changed}
    return {"inputs": [{name: value for name, value in tensor.items() if value is not None}]}


def packed(data, length=None, more=None, **changed):
    body = with_input(data=None, parameters={"binary_data_size": len(data) if length is None else length}, **changed)
    return json.dumps({**body, **(more or {})}).encode(), data


HOSTILE = [
    (b"", "the body is empty"),
    (b"{", "not JSON"),
    (b"[]", "not an object"),
    (b'{"inputs": [{"name": "x", "shape": [1, 3], "datatype": "FP64", "data": [NaN, 1, 2]}]}', "not JSON"),
    ({}, "inputs is missing"),
    ({"inputs": []}, "at least one tensor"),
    ({"inputs": [3]}, "expected an object"),
    ({**with_input(), "more": 1}, "unknown field 'more'"),
    ({**with_input(), "id": 7}, "expected a string"),
    ({**with_input(), "parameters": {"sequence_id": 3}}, "'sequence_id'"),
    ({**with_input(), "parameters": {"level": 1}}, "between 0 and 1"),
    ({**with_input(), "parameters": 3}, "expected an object"),
    ({**with_input(), "outputs": [{"name": "other"}]}, "expected prediction, low, high"),
    ({**with_input(), "outputs": [{"name": "low"}, {"name": "low"}]}, "at most once"),
    (with_input(datatype="FP128"), "expected BOOL"),
    (with_input(datatype=None), "datatype is missing"),
    (with_input(datatype=["FP64"]), "expected BOOL"),
    (with_input(name=3), "expected a string"),
    (with_input(shape=[1, -3]), "at least 0"),
    (with_input(shape=[]), "1 to 8 sizes"),
    (with_input(shape=[1, 3.0]), "whole numbers"),
    (with_input(shape=[True, 3]), "whole numbers"),
    (with_input(shape=[1, 2], data=[1.0, 2.0]), "expected 3, x, y, z"),
    (with_input(shape=[1, 3, 1]), "expected [1] or [1, 1]"),
    (with_input(shape=[0, 3], data=[]), "at least one"),
    (with_input(shape=[1, 3], data=[1.0]), "has 1 value(s): expected 3"),
    (with_input(data=[[1.0, 2.0], 3.0]), "mixes lists and values"),
    (with_input(data=[1.0, 2.0, "3"]), "expected a number"),
    (with_input(data=[1.0, 2.0, None]), "expected a number"),
    (with_input(data=[1.0, 2.0, True]), "expected a number"),
    (with_input(data=[1e400, 2.0, 3.0]), "not JSON"),
    (with_input(data=3), "expected a list"),
    (with_input(data=None), "has no data"),
    (with_input(datatype="UINT8", data=[1, 2, 300]), "from 0 to 255"),
    (with_input(datatype="INT8", data=[1, 2, 1.5]), "whole number"),
    (with_input(datatype="BOOL", data=[True, False, True]), "expected a number"),
    (with_input(datatype="BYTES", data=["a", "b", "c"]), "expected a number"),
    (with_input(parameters={"shared_memory_region": "r"}), "shared_memory_region"),
    (with_input(parameters={"binary_data_size": 3}), "data and binary_data_size"),
    (one_tensor_each(x=[1.0], y=[1.0]), "row[0] doesn't have the features"),
    (one_tensor_each(x=[1.0], y=[1.0], z=[1.0], w=[1.0]), "unknown w"),
    (one_tensor_each(x=[1.0, 2.0], y=[1.0, 2.0], z=[1.0]), "inputs[2].shape is [1]"),
    ({"inputs": one_tensor_each(x=[1.0])["inputs"] * 2}, "as of another tensor"),
    (packed(b"\0" * 23), "has 23 bytes: its shape and data type take 24"),
    (packed(b"\0" * 24, 25), "up to the 24 that follow"),
    (packed(b"\0" * 24, 16), "has 16 bytes"),
    (packed(struct.pack("<3d", 1, 2, math.nan)), "row[0].z is nan: expected a finite number"),
    (packed(struct.pack("<3d", math.inf, 2, 3)), "row[0].x is inf: expected a finite number"),
    (packed(b"\0\1\2", datatype="BOOL"), "expected 0 or 1"),
    (packed(struct.pack("<I", 9) + b"a", datatype="BYTES", shape=[1], name="x"), "each after its length"),
    (packed(b"\0\0", datatype="BYTES", shape=[1], name="x"), "each after its length"),
    (packed(struct.pack("<I", 1) + b"\xff", datatype="BYTES", shape=[1], name="x"), "not UTF-8"),
]


@together("body, words", HOSTILE)
def test_bad_input_is_refused_with_a_reason(declared, body, words):
    headers = {}
    if isinstance(body, tuple):
        text, rest = body
        body, headers = text + rest, {LENGTH: str(len(text))}
    assert words in refused(declared, body, **headers)


def test_sizes_and_encodings_have_limits(declared, settings):
    settings.TAILRACE = settings.TAILRACE.model_copy(update={"max_points": 1})
    assert "TAILRACE_MAX_POINTS" in refused(declared, TWO, 413)
    assert "most allowed" in refused(declared, with_input(shape=[10**9, 10**9]), 413)
    assert "without compression" in refused(declared, b"x", 415, **{"Content-Encoding": "gzip"})
    for length in ("-1", "x", "99999999999", "9" * 40):
        assert LENGTH in refused(declared, TWO, **{LENGTH: length})


def test_names_are_needed_where_nothing_is_declared(api):
    api.stream("s")
    api.model("m", "s")
    for n in range(5):
        api.learn({"a": n, "b": 1}, n)
    assert len(columns(api.ok(URL, one_tensor_each(a=[1.0], b=[1.0])))["prediction"]) == 1
    assert "declares no features" in refused(api, matrix([[1.0, 2.0]]))
    assert api.ok("/v2/models/m")["inputs"] == []


def test_roles_and_credentials_count_as_elsewhere(api, required):
    streams.create("s", target_kind="number")
    registry.create("m", "s", "regression", linear_model.LinearRegression())
    body = one_tensor_each(a=[1.0])
    assert "a credential is missing" in refused(api, body, 401)
    assert api.post(URL, body, **bearer(secret_of(person("ada"), ["predict"]))).status_code == 200
    assert "permission 'predict'" in refused(api, body, 403, **bearer(secret_of(person("bob"), ["read"])))
    elsewhere = bearer(secret_of(person("eve"), ["predict"], ["another"]))
    assert refused(api, body, 404, **elsewhere) == "no model named 'm'"
    assert api.get("/v2/models/m/versions/0/ready", **elsewhere).status_code == 404
    assert api.get("/v2/health/ready").status_code == 200
