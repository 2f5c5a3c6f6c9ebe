"""SageMaker's contract: one model predicts, for points in JSON, JSON lines and CSV as its callers send them."""

import json

import pytest

pytestmark = pytest.mark.django_db(transaction=True)

X = {"a": 1.0, "b": 2.0}
URL = "/invocations/m"


@pytest.fixture
def declared(api):
    """A model on a stream that declares its features."""
    return _model(api, features=["a", "b"])


@pytest.fixture
def undeclared(api):
    return _model(api)


def _model(api, **fields):
    api.stream("s", **fields)
    api.model("m", "s")
    for n in range(5):
        api.learn({"a": float(n), "b": 1.0}, 2.0 * n)
    return api.ok("/api/v1/models/m/predict/", {"xs": [X, {"a": 3.0, "b": 4.0}]})["predictions"]


def sent(api, body, content_type="application/json", url=URL, status=200, **headers):
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    response = api.post(url, body, content_type, **headers)
    assert response.status_code == status, response.content
    return response


def refused(api, body, content_type="application/json", status=400, url=URL, **headers):
    return sent(api, body, content_type, url, status, **headers).json()["error"]


@pytest.mark.one_database
@pytest.mark.parametrize(
    "body",
    [
        {"instances": [X]},
        {"instances": [[1.0, 2.0]]},
        {"instances": [{"features": [1.0, 2.0]}]},
        {"instances": [{"features": X}]},
        [X],
        [[1.0, 2.0]],
        X,
        [1.0, 2.0],
    ],
    ids=str,
)
def test_json_comes_by_names_or_in_the_declared_order(api, declared, body):
    response = sent(api, body)
    assert response["Content-Type"] == "application/json"
    assert response.json() == {"predictions": declared[:1], "model": "m", "at": 5}


@pytest.mark.parametrize("kind", ["application/jsonlines", "application/x-ndjson"])
def test_lines_come_back_as_lines(api, declared, kind):
    response = sent(api, b'{"a": 1.0, "b": 2.0}\n\n{"features": [3.0, 4.0]}\n', kind)
    assert response["Content-Type"] == "application/jsonlines"
    assert [json.loads(line) for line in response.content.splitlines()] == [{"prediction": p} for p in declared]


@pytest.mark.one_database
@pytest.mark.parametrize(
    "text", ["1,2\n3,4\n", "1.0,2\r\n3, 4.0", "a,b\n1,2\n3,4\n", "b,a\n2,1\n4,3\n", "\ufeffa,b\n1,2\n3,4"]
)
def test_csv_comes_with_the_declared_names_or_in_their_order(api, declared, text):
    response = sent(api, text.encode(), "text/csv; charset=utf-8")
    assert response["Content-Type"] == "text/csv"
    assert [float(line) for line in response.content.splitlines()] == declared


def test_csv_has_a_header_where_nothing_is_declared(api, undeclared):
    assert [float(line) for line in sent(api, b"b,a\n2,1\n4,3\n", "text/csv").content.split()] == undeclared
    error = refused(api, b"1,2\n3,4\n", "text/csv")
    assert error["code"] == "no_names"
    assert "declare the stream's features" in error["message"]
    assert refused(api, {"instances": [[1, 2]]})["code"] == "no_names"


def test_the_answer_has_the_form_that_is_asked_for(api, declared):
    assert sent(api, b"1,2\n", "text/csv", Accept="application/json").json()["predictions"] == declared[:1]
    assert sent(api, [X], Accept="text/csv;q=0.9").content == f"{declared[0]}\n".encode()
    assert sent(api, [X], Accept="image/png, */*").json()["predictions"] == declared[:1]
    assert "expected application/json" in refused(api, [X], status=406, Accept="image/png")["message"]


def test_probabilities_are_the_likeliest_label_in_csv(api):
    api.stream("s", target={"name": "t", "kind": "boolean"})
    api.model("m", "s", recipe="logistic")
    for n in range(20):
        api.learn({"a": float(n % 2)}, bool(n % 2))
    assert set(sent(api, [{"a": 1.0}]).json()["predictions"][0]) == {"true", "false"}
    assert sent(api, b"a\n1\n0\n", "text/csv").content == b"True\nFalse\n"


@pytest.mark.one_database
@pytest.mark.parametrize(
    "body, kind, field, words",
    [
        (b"", "application/json", None, "the body is empty"),
        ({"instances": []}, "application/json", "instances", "contains no instance"),
        ({"instances": 3}, "application/json", "instances", "expected a list"),
        ({"instances": [X], "more": 1}, "application/json", "more", "unknown field"),
        ({"instances": [X, {"a": 1.0}]}, "application/json", "instances[1].b", "missing b"),
        ({"instances": [[1.0]]}, "application/json", "instances[0]", "has 1 value(s): expected 2, a, b"),
        (3, "application/json", "instances[0]", "expected an object"),
        (b'{"a": 1, "b": 2}\n{"a"', "application/jsonlines", None, "line 2 is not JSON"),
        (b"a,b\n1,2\n1,x\n", "text/csv", "line 3.b", "expected a number"),
        (b"a,b\n1,2\n1,2,3\n", "text/csv", "line 3", "has 3 value(s): expected 2"),
        (b"a,b\n1,\n", "text/csv", "line 2.b", "missing b"),
        (b"a,b\n1,nan\n", "text/csv", "line 2.b", "expected a finite number"),
        (b'a,b\n1,"2\n', "text/csv", None, "is not CSV"),
        (b"a,b\n", "text/csv", "instances", "contains no instance"),
        (b"a,b\n1,\xff\n", "text/csv", None, "not UTF-8 at byte 6"),
    ],
    ids=str,
)
def test_what_is_wrong_is_named_by_instance_or_line(api, declared, body, kind, field, words):
    error = refused(api, body, kind)
    assert error.get("field") == field
    assert words in error["message"]


def test_other_forms_and_other_models_are_refused(api, declared, settings):
    assert "application/x-recordio" in refused(api, b"x", "application/x-recordio", 415)["message"]
    assert refused(api, [X], status=404, url="/invocations/none")["message"] == "no model named 'none'"
    assert refused(api, [X], status=404, url="/invocations")["code"] == "no_model_chosen"
    settings.TAILRACE = settings.TAILRACE.model_copy(update={"invocations_model": "m", "max_points": 1})
    assert sent(api, [X], url="/invocations").json()["predictions"] == declared[:1]
    assert "TAILRACE_MAX_POINTS" in refused(api, [X, X], status=413)["message"]
    assert api.get("/invocations").status_code == 405


def test_they_keep_nothing_and_learn_nothing(api, declared):
    sent(api, {"instances": [X] * 3})
    assert api.ok("/api/v1/streams/s/")["head"] == 5
    assert api.ok("/api/v1/models/m/stats/")["predict"]["n_calls"] == 2


def test_ping_says_what_readiness_says(api):
    assert api.get("/ping").status_code == 200
    assert api.ok("/ping") == api.ok("/readyz") == {"status": "ready"}
