"""What MLflow's API refuses: callers without leave, what is left out, filters that are none, and hostile values."""

import json
from typing import Any

import pytest
from django.test import Client

from tests.api_client import Api
from tests.mlflow.request_list import API, API3, FILES
from tests.people import bearer, person, secret_of
from tests.together import together

RUN = "0" * 32


def refused(response: Any, status: int, code: str) -> str:
    """Check that an answer is an error in MLflow's form, and return its message."""
    assert response.status_code == status, (response.status_code, response.content[:500])
    error = response.json()
    assert set(error) == {"error_code", "message", "request_id"}
    assert error["error_code"] == code, error
    return str(error["message"])


@pytest.fixture
def run(api: Api) -> str:
    return str(api.ok(f"{API}runs/create", {"experiment_id": "0"})["run"]["info"]["run_id"])


@pytest.mark.django_db
@together(
    "text, said",
    [
        ("metrics.loss <", "it ends too early, expected"),
        ("metrics.loss < 1 OR x = 2", "OR is not supported: conditions are joined by AND"),
        ("metrics.a-b > 1", "between backticks: metrics.`a-b`"),
        ("metrics.loss == 1", "write = for equal"),
        ("metrics.loss < 'x'", "compared with the text 'x': expected a number"),
        ("params.lr = 1", "put a text between quotes, such as '1'"),
        ("loss < 1", "loss is not known: expected one of run_id"),
        ("foo.bar = '1'", "before the first . expected one of attributes"),
        ("params.lr < '1'", "can't be compared by <: expected one of = != LIKE"),
        ("metrics.loss < 1e999", "a number that is too large"),
        (f"start_time > {'1' * 5_000}", "a number of 5000 characters: the longest allowed is 1000"),
        (f"tags.t LIKE '%{'a' * 500}b%'", "a pattern of 503 characters: the longest allowed is 500"),
        ("params.a = '\x00'", "can't be stored"),
        ("status = 'x' AND " * 2_000, "the longest allowed is"),
        (" AND ".join(["status = 'x'"] * 101), "the most allowed is 100"),
    ],
)  # fmt: skip
def test_a_filter_that_is_none_is_told_what_is_wrong(api: Api, text: str, said: str) -> None:
    message = refused(api.post(f"{API}runs/search", {"filter": text}), 400, "INVALID_PARAMETER_VALUE")
    assert said in message, message


@pytest.mark.django_db
def test_filters_and_orders_that_are_valid_but_extreme_find_nothing_and_do_no_harm(api: Api, run: str) -> None:
    for text in (
        f"metrics.x < {'9' * 400}", f"start_time > {'9' * 30}", f"params.`{'k' * 500}` = 'x'", "tags.a LIKE '%a%a%a%a%a%a%a%a%a%'",
        "tags.a LIKE '[a-z]*?\\'", "run_id IN (" + ", ".join(["'x'"] * 1000) + ")", " AND ".join(["metrics.a < 1"] * 100),
    ):  # fmt: skip
        answer = api.post(f"{API}runs/search", {"experiment_ids": ["0"], "filter": text})
        assert answer.status_code == 200, (text[:80], answer.content[:300])
        assert answer.json() == {} or text.startswith("start_time")


@pytest.mark.django_db
@together(
    "method, path, body",
    [
        ("POST", f"{API}runs/log-batch", []),
        ("POST", f"{API}runs/log-batch", b"{"),
        ("POST", f"{API}runs/log-metric", {"run_id": RUN, "key": "x", "value": 1, "timestamp": 2**70}),
        ("POST", f"{API}runs/log-metric", {"run_id": RUN, "key": "x", "value": [1], "timestamp": 1}),
        ("POST", f"{API}runs/log-parameter", {"run_id": RUN, "key": "a\x00", "value": "1"}),
        ("POST", f"{API}runs/search", {"experiment_ids": ["1"] * 1_001}),
        ("POST", f"{API}runs/search", {"experiment_ids": ["9" * 40]}),
        ("POST", f"{API}runs/search", {"page_token": "eyJvZmZzZXQiOiAtMX0="}),
        ("POST", f"{API}runs/search", {"order_by": ["start_time"] * 30}),
        ("POST", f"{API}runs/search", {"order_by": ["start_time", "start_time"]}),
        ("POST", f"{API}runs/search", {"order_by": [{"a": 1}]}),
        ("POST", f"{API}runs/search", {"run_view_type": [1]}),
        ("POST", f"{API}runs/update", {"run_id": RUN, "status": "1" * 5_000}),
        ("POST", f"{API}runs/update", {"run_id": RUN, "status": {}}),
        ("POST", f"{API}logged-models/search", {"experiment_ids": ["0"], "datasets": [{"dataset_name": "x"}] * 1_001}),
        ("GET", f"{API}runs/search", None),
        ("PUT", f"{FILES}/0/{RUN}/artifacts", b"x"),
        ("PUT", f"{FILES}/0/{RUN}/artifacts/a%5c..%5cb", b"x"),
        ("PUT", f"{FILES}/etc/passwd", b"x"),
        ("POST", f"{API}registered-models/create", {"name": "p", "tags": [{"key": "mlflow.prompt.is_prompt", "value": "true"}]}),
        ("POST", f"{API}experiments/create", {"name": "e", "artifact_location": "mlflow-artifacts:/../.."}),
    ],
)  # fmt: skip
def test_hostile_requests_get_an_error_in_mlflows_form(api: Api, method: str, path: str, body: Any) -> None:
    answer = api.client.generic(method, path, Api._encoded(body), "application/json")
    assert 400 <= answer.status_code < 502 and answer.status_code != 500, (answer.status_code, answer.content[:300])
    assert set(answer.json()) == {"error_code", "message", "request_id"}


@pytest.mark.django_db
def test_what_is_left_out_says_so(api: Api) -> None:
    for method, path in (
        ("POST", f"{API3}traces"), ("GET", f"{API}traces"), ("POST", f"{API3}gateway/secrets/create"),
        ("POST", "/api/2.0/mlflow-artifacts/mpu/create/x"), ("POST", f"{API3}datasets/create"),
    ):  # fmt: skip
        message = refused(api.client.generic(method, path), 501, "NOT_IMPLEMENTED")
        assert "does not have" in message
    refused(api.get(f"{API}none"), 404, "ENDPOINT_NOT_FOUND")
    refused(api.get(f"{API}runs/create"), 405, "ENDPOINT_NOT_FOUND")
    assert api.get("/health").content == b"OK"
    assert api.get("/version").content.startswith(b"3.")


@pytest.mark.django_db
def test_files_of_versions_are_of_this_server(api: Api, run: str) -> None:
    api.ok(f"{API}registered-models/create", {"name": "m"})
    for source in (
        "file:///etc/passwd", "/etc/passwd", "s3://b/x", "http://example.org/x", f"mlflow-artifacts://example.org/0/{run}/artifacts",
        f"mlflow-artifacts:/0/{run}/artifacts/../x", f"mlflow-artifacts:/0/{run}/artifacts/%2e%2e/x", f"runs:/{run}/..", f"runs:/{RUN}/m",
        f"mlflow-artifacts:/7/{run}/artifacts/m", f"mlflow-artifacts:/0/{run}/artifacts/a?x=../..", "models:/m/1", "models:/m@latest",
        f"MLFLOW-ARTIFACTS:/0/{run}/artifacts/m", f"mlflow-artifacts:/0/{run}/artifacts/a\\..\\b",
    ):  # fmt: skip
        answer = api.post(f"{API}model-versions/create", {"name": "m", "source": source})
        assert answer.status_code in (400, 404), (source, answer.content)
    made = api.ok(f"{API}model-versions/create", {"name": "m", "source": f"runs:/{run}/model"})["model_version"]
    assert (made["version"], made["run_id"]) == ("1", run)


@pytest.mark.django_db
def test_people_log_to_their_own_runs_alone(required: None) -> None:
    api = Api(Client())
    ada, bob, admin = (
        bearer(secret_of(person(name, role)))
        for name, role in (("ada", "researcher"), ("bob", "researcher"), ("root", "admin"))
    )
    viewer, limited = (
        bearer(secret_of(person("eve", "viewer"))),
        bearer(secret_of(person("kim", "admin"), streams=["s"])),
    )
    run = api.post(f"{API}runs/create", {"experiment_id": "0"}, **ada).json()["run"]["info"]["run_id"]
    point = {"run_id": run, "key": "x", "value": 1, "timestamp": 1}
    refused(api.post(f"{API}runs/log-metric", point), 401, "UNAUTHENTICATED")
    refused(api.post(f"{API}runs/log-metric", point, **viewer), 403, "PERMISSION_DENIED")
    refused(api.post(f"{API}runs/log-metric", point, **limited), 403, "PERMISSION_DENIED")
    for path, body in (
        ("runs/log-metric", point), ("runs/log-batch", {"run_id": run}), ("runs/update", {"run_id": run, "status": "KILLED"}),
        ("runs/delete", {"run_id": run}), ("runs/set-tag", {"run_id": run, "key": "a", "value": "b"}),
        ("runs/log-inputs", {"run_id": run}), ("runs/outputs", {"run_id": run, "models": []}),
        ("runs/log-parameter", {"run_id": run, "key": "a", "value": "b"}),
    ):  # fmt: skip
        refused(api.post(f"{API}{path}", body, **bob), 403, "PERMISSION_DENIED")
    file = api.client.generic("PUT", f"{FILES}/0/{run}/artifacts/a.txt", b"x", "text/plain", headers=bob)
    refused(file, 403, "PERMISSION_DENIED")
    assert api.post(f"{API}runs/log-metric", point, **ada).status_code == 200
    assert api.post(f"{API}runs/log-metric", point, **admin).status_code == 200
    assert api.get(f"{API}runs/get?run_id={run}", **viewer).json()["run"]["data"]["metrics"][0]["value"] == 1.0


@pytest.mark.django_db
def test_models_are_recorded_beside_a_tag_that_holds_something_else_and_no_deeper_or_longer_than_it_can(
    api: Api, run: str
) -> None:
    model = {"run_id": run, "artifact_path": "m", "utc_time_created": "x", "flavors": {}}
    for held in ("no JSON", "5", "{}", ""):
        api.ok(f"{API}runs/set-tag", {"run_id": run, "key": "mlflow.log-model.history", "value": held})
        api.ok(f"{API}runs/log-model", {"run_id": run, "model_json": json.dumps(model)})
    found = api.get(f"{API}runs/get?run_id={run}").json()
    tags = {one["key"]: one["value"] for one in found["run"]["data"]["tags"]}
    assert json.loads(tags["mlflow.log-model.history"]) == [model]
    for deep in ("[" * 600 + "]" * 600, json.dumps("a" * 200_000)):
        text = f'{json.dumps(model)[:-1]}, "deep": {deep}}}'
        refused(api.post(f"{API}runs/log-model", {"run_id": run, "model_json": text}), 400, "INVALID_PARAMETER_VALUE")
