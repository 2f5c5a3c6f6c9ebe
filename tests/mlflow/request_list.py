"""Requests that are sent to a real ``mlflow server`` and to ours, one after the other.

``$NAME`` in a request stands for what an earlier answer gave. The answers are compared by :mod:`tests.mlflow.answers`.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

API, API3, FILES = "/api/2.0/mlflow/", "/api/3.0/mlflow/", "/api/2.0/mlflow-artifacts/artifacts"


class Request(NamedTuple):
    """A request.

    Attributes
    ----------
    name
        What it is about. Names are unique.
    saves
        Names of values of the answer that later requests use, and the path to each.
    """

    name: str
    method: str
    path: str
    body: Any = None
    saves: dict[str, tuple[Any, ...]] = {}


MODEL_JSON = (
    '{"run_id": "$a", "artifact_path": "model", "utc_time_created": "2026-01-01", "flavors": {"python_function": {}}}'
)


def tags(**found: str) -> list[dict[str, str]]:
    return [{"key": key.replace("__", "."), "value": value} for key, value in found.items()]


def metrics(*points: tuple[str, Any, int, int]) -> list[dict[str, Any]]:
    return [{"key": key, "value": value, "timestamp": time, "step": step} for key, value, time, step in points]


EXPERIMENTS = [
    Request("default", "GET", f"{API}experiments/get?experiment_id=0"),
    Request("create", "POST", f"{API}experiments/create", {"name": "darcy", "tags": tags(team="a")}, {"e": ("experiment_id",)}),
    Request("create again", "POST", f"{API}experiments/create", {"name": "darcy"}),
    Request("create without name", "POST", f"{API}experiments/create", {}),
    Request("create with empty name", "POST", f"{API}experiments/create", {"name": ""}),
    Request("create with a number", "POST", f"{API}experiments/create", {"name": 3}),
    Request("create second", "POST", f"{API}experiments/create", {"name": "Burgers"}, {"f": ("experiment_id",)}),
    Request("get", "GET", f"{API}experiments/get?experiment_id=$e"),
    Request("get missing", "GET", f"{API}experiments/get?experiment_id=987654"),
    Request("get text", "GET", f"{API}experiments/get?experiment_id=abc"),
    Request("get by name", "GET", f"{API}experiments/get-by-name?experiment_name=darcy"),
    Request("get by missing name", "GET", f"{API}experiments/get-by-name?experiment_name=none"),
    Request("tag", "POST", f"{API}experiments/set-experiment-tag", {"experiment_id": "$e", "key": "k", "value": "v"}),
    Request("tag without key", "POST", f"{API}experiments/set-experiment-tag", {"experiment_id": "$e", "value": "v"}),
    Request("untag", "POST", f"{API}experiments/delete-experiment-tag", {"experiment_id": "$e", "key": "k"}),
    Request("rename", "POST", f"{API}experiments/update", {"experiment_id": "$f", "new_name": "burgers"}),
    Request("rename to taken", "POST", f"{API}experiments/update", {"experiment_id": "$f", "new_name": "darcy"}),
    Request("search all", "POST", f"{API}experiments/search", {"max_results": 10, "order_by": ["experiment_id ASC"]}),
    Request("search like", "POST", f"{API}experiments/search", {"max_results": 10, "filter": "name LIKE 'd%'"}),
    Request("search ilike", "POST", f"{API}experiments/search", {"max_results": 10, "filter": "name ILIKE 'D%'"}),
    Request("search tag", "POST", f"{API}experiments/search", {"max_results": 10, "filter": "tags.team = 'a'"}),
    Request("search by GET", "GET", f"{API}experiments/search?max_results=1&order_by=name%20ASC"),
    Request("search wrong attribute", "POST", f"{API}experiments/search", {"max_results": 10, "filter": "status = 'x'"}),
    Request("search too many", "POST", f"{API}experiments/search", {"max_results": 60_000}),
    Request("delete", "POST", f"{API}experiments/delete", {"experiment_id": "$f"}),
    Request("get deleted", "GET", f"{API}experiments/get?experiment_id=$f"),
    Request("run in deleted", "POST", f"{API}runs/create", {"experiment_id": "$f"}),
    Request("search deleted", "POST", f"{API}experiments/search", {"max_results": 10, "view_type": "DELETED_ONLY"}),
    Request("restore", "POST", f"{API}experiments/restore", {"experiment_id": "$f"}),
    Request("delete missing", "POST", f"{API}experiments/delete", {"experiment_id": "987654"}),
    Request("create outside", "POST", f"{API}experiments/create", {"name": "out", "artifact_location": "file:///etc"}),
]  # fmt: skip

RUN = {
    "experiment_id": "$e",
    "user_id": "u",
    "start_time": 1000,
    "run_name": "first",
    "tags": tags(mlflow__user="u", team="x"),
}
RUNS = [
    Request("create", "POST", f"{API}runs/create", RUN, {"a": ("run", "info", "run_id")}),
    Request("create second", "POST", f"{API}runs/create", {**RUN, "run_name": "second", "start_time": 2000}, {"b": ("run", "info", "run_id")}),
    Request("create nested", "POST", f"{API}runs/create", {**RUN, "run_name": "third", "start_time": 3000, "tags": tags(mlflow__parentRunId="$a")}, {"c": ("run", "info", "run_id")}),
    Request("create in missing", "POST", f"{API}runs/create", {"experiment_id": "987654"}),
    Request("create with two names", "POST", f"{API}runs/create", {**RUN, "tags": tags(mlflow__runName="other")}),
    Request("metric", "POST", f"{API}runs/log-metric", {"run_id": "$a", "key": "loss", "value": 0.5, "timestamp": 5000, "step": 1}),
    Request("metric by run_uuid", "POST", f"{API}runs/log-metric", {"run_uuid": "$a", "key": "loss", "value": 0.25, "timestamp": "6000", "step": "2"}),
    Request("metric again", "POST", f"{API}runs/log-metric", {"run_id": "$a", "key": "loss", "value": 0.25, "timestamp": 6000, "step": 2}),
    Request("metric late", "POST", f"{API}runs/log-metric", {"run_id": "$a", "key": "loss", "value": 9, "timestamp": 4000, "step": 0}),
    Request("metric NaN", "POST", f"{API}runs/log-metric", {"run_id": "$b", "key": "loss", "value": "NaN", "timestamp": 1, "step": 0}),
    Request("metric without value", "POST", f"{API}runs/log-metric", {"run_id": "$a", "key": "loss", "timestamp": 1}),
    Request("metric text", "POST", f"{API}runs/log-metric", {"run_id": "$a", "key": "loss", "value": "high", "timestamp": 1}),
    Request("metric without time", "POST", f"{API}runs/log-metric", {"run_id": "$a", "key": "loss", "value": 1}),
    Request("metric negative time", "POST", f"{API}runs/log-metric", {"run_id": "$a", "key": "loss", "value": 1, "timestamp": -1}),
    Request("metric of missing", "POST", f"{API}runs/log-metric", {"run_id": "0" * 32, "key": "x", "value": 1, "timestamp": 1}),
    Request("metric of none", "POST", f"{API}runs/log-metric", {"key": "x", "value": 1, "timestamp": 1}),
    Request("metric empty key", "POST", f"{API}runs/log-metric", {"run_id": "$a", "key": "", "value": 1, "timestamp": 1}),
    Request("metric long key", "POST", f"{API}runs/log-metric", {"run_id": "$a", "key": "k" * 300, "value": 1, "timestamp": 1}),
    Request("param", "POST", f"{API}runs/log-parameter", {"run_id": "$a", "key": "lr", "value": "0.01"}),
    Request("param again", "POST", f"{API}runs/log-parameter", {"run_id": "$a", "key": "lr", "value": "0.01"}),
    Request("param changed", "POST", f"{API}runs/log-parameter", {"run_id": "$a", "key": "lr", "value": "0.02"}),
    Request("param empty", "POST", f"{API}runs/log-parameter", {"run_id": "$a", "key": "empty", "value": ""}),
    Request("tag", "POST", f"{API}runs/set-tag", {"run_id": "$a", "key": "note", "value": "hello"}),
    Request("tag again", "POST", f"{API}runs/set-tag", {"run_id": "$a", "key": "note", "value": "World"}),
    Request("tag renames", "POST", f"{API}runs/set-tag", {"run_id": "$c", "key": "mlflow.runName", "value": "child"}),
    Request("untag", "POST", f"{API}runs/delete-tag", {"run_id": "$a", "key": "team"}),
    Request("untag missing", "POST", f"{API}runs/delete-tag", {"run_id": "$a", "key": "team"}),
    Request("batch", "POST", f"{API}runs/log-batch", {"run_id": "$b", "metrics": metrics(("acc", 0.5, 10, 0), ("acc", 0.75, 20, 1), ("a b/c", 3, 30, 0)), "params": [{"key": "lr", "value": "0.1"}, {"key": "batch size", "value": "8"}], "tags": tags(stage="Test")}),
    Request("batch empty", "POST", f"{API}runs/log-batch", {"run_id": "$b"}),
    Request("batch too many metrics", "POST", f"{API}runs/log-batch", {"run_id": "$b", "metrics": metrics(("acc", 0.5, 10, 0)) * 1001}),
    Request("batch too many params", "POST", f"{API}runs/log-batch", {"run_id": "$b", "params": [{"key": f"p{n}", "value": "1"} for n in range(101)]}),
    Request("batch twice a param", "POST", f"{API}runs/log-batch", {"run_id": "$b", "params": [{"key": "z", "value": "1"}, {"key": "z", "value": "2"}]}),
    Request("batch without key", "POST", f"{API}runs/log-batch", {"run_id": "$b", "metrics": [{"value": 1, "timestamp": 1}]}),
    Request("batch changed param", "POST", f"{API}runs/log-batch", {"run_id": "$b", "metrics": metrics(("never", 1, 1, 0)), "params": [{"key": "lr", "value": "9"}]}),
    Request("batch of text", "POST", f"{API}runs/log-batch", {"run_id": "$b", "metrics": "x"}),
    Request("log-model", "POST", f"{API}runs/log-model", {"run_id": "$b", "model_json": MODEL_JSON}),
    Request("log-model not JSON", "POST", f"{API}runs/log-model", {"run_id": "$b", "model_json": "{"}),
    Request("log-model missing fields", "POST", f"{API}runs/log-model", {"run_id": "$b", "model_json": "{}"}),
    Request("inputs", "POST", f"{API}runs/log-inputs", {"run_id": "$b", "datasets": [{"tags": tags(mlflow__data__context="training"), "dataset": {"name": "grid", "digest": "d1", "source_type": "local", "source": "{}", "schema": "{}", "profile": "{}"}}]}),
    Request("inputs again", "POST", f"{API}runs/log-inputs", {"run_id": "$b", "datasets": [{"dataset": {"name": "grid", "digest": "d1", "source_type": "local", "source": "{}"}}]}),
    Request("datasets", "POST", f"{API}experiments/search-datasets", {"experiment_ids": ["$e"]}),
    Request("get", "GET", f"{API}runs/get?run_id=$a"),
    Request("get second", "GET", f"{API}runs/get?run_uuid=$b"),
    Request("get child", "GET", f"{API}runs/get?run_id=$c"),
    Request("get missing", "GET", f"{API}runs/get?run_id={'0' * 32}"),
    Request("get none", "GET", f"{API}runs/get"),
    Request("history", "GET", f"{API}metrics/get-history?run_id=$a&metric_key=loss"),
    Request("history of none", "GET", f"{API}metrics/get-history?run_id=$a&metric_key=none"),
    Request("history without key", "GET", f"{API}metrics/get-history?run_id=$a"),
    Request("history first", "GET", f"{API}metrics/get-history?run_id=$a&metric_key=loss&max_results=2", saves={"h": ("next_page_token",)}),
    Request("history rest", "GET", f"{API}metrics/get-history?run_id=$a&metric_key=loss&max_results=2&page_token=$h"),
    Request("history of zero", "GET", f"{API}metrics/get-history?run_id=$a&metric_key=loss&max_results=0"),
    Request("finish", "POST", f"{API}runs/update", {"run_id": "$a", "status": "FINISHED", "end_time": 9000}),
    Request("finish by number", "POST", f"{API}runs/update", {"run_id": "$b", "status": 4, "end_time": 9500}),
    Request("finish wrongly", "POST", f"{API}runs/update", {"run_id": "$a", "status": "DONE"}),
    Request("rename", "POST", f"{API}runs/update", {"run_id": "$a", "run_name": "renamed"}),
    Request("get renamed", "GET", f"{API}runs/get?run_id=$a"),
    Request("delete", "POST", f"{API}runs/delete", {"run_id": "$c"}),
    Request("metric of deleted", "POST", f"{API}runs/log-metric", {"run_id": "$c", "key": "x", "value": 1, "timestamp": 1}),
    Request("tag of deleted", "POST", f"{API}runs/set-tag", {"run_id": "$c", "key": "x", "value": "1"}),
    Request("search deleted", "POST", f"{API}runs/search", {"experiment_ids": ["$e"], "run_view_type": "DELETED_ONLY"}),
    Request("search all views", "POST", f"{API}runs/search", {"experiment_ids": ["$e"], "run_view_type": "ALL"}),
    Request("restore", "POST", f"{API}runs/restore", {"run_id": "$c"}),
    Request("delete missing", "POST", f"{API}runs/delete", {"run_id": "0" * 32}),
]  # fmt: skip

FILTERS = [
    "", "metrics.loss < 1", "metrics.loss != 3", "metrics.loss > 0.25", "metrics.loss = 0.25", "metric.acc >= 0.75", "metrics.`a b/c` = 3",
    "params.lr = '0.01'", "params.lr != '0.01'", "param.lr LIKE '0.%'", 'parameters."batch size" = \'8\'', "params.lr IS NULL",
    "params.lr IS NOT NULL", "tags.note = 'World'", "tags.note LIKE 'w%'", "tags.note ILIKE 'w%'", "tag.stage = 'Test'", "tags.stage LIKE 'T_st'",
    "attributes.status = 'FINISHED'", "status != 'FINISHED'", "attr.run_name LIKE '%n%'", "run_name = 'renamed'", "`run name` = 'second'",
    "attributes.start_time > 1000", "start_time <= 2000", "end_time = 9000", "run_id = '$a'", "run_id IN ('$a', '$b')", "run_id NOT IN ('$a')",
    "attributes.user_id = 'u'", "attributes.artifact_uri LIKE '%artifacts'", "dataset.name = 'grid'", "datasets.digest LIKE 'd%'",
    "dataset.context = 'training'", "metrics.loss < 1 AND params.lr = '0.01'", "metrics.loss < 1 and params.lr = '0.1'",
    "tags.mlflow.parentRunId = '$a'", "tags.`mlflow.user` = 'u'",
    # not filters
    "metrics.loss <", "metrics.loss < 'x'", "params.lr < '1'", "metrics.loss LIKE '1'", "loss < 1", "foo.bar = '1'", "status = FINISHED",
    "status = 3", "metrics.a-b > 1", "metrics.loss < 1 OR metrics.loss > 2", "run_id IN ()", "hello", "start_time = 'x'", "; DROP TABLE run",
    "metrics.loss == 1", "dataset.size = '3'", "status > 'A'",
]  # fmt: skip
ORDERS = [
    ["metrics.loss"], ["metrics.loss DESC"], ["metrics.acc ASC"], ["params.lr"], ["params.lr DESC", "start_time"], ["start_time ASC"],
    ["attributes.end_time DESC"], ["tags.note"], ["run_name DESC"], ["foo"], ["metrics.loss up"], [""],
]  # fmt: skip

SEARCHES = [
    *(Request(f"filter {text}", "POST", f"{API}runs/search", {"experiment_ids": ["$e"], "filter": text}) for text in FILTERS),
    *(Request(f"order {some}", "POST", f"{API}runs/search", {"experiment_ids": ["$e"], "order_by": some}) for some in ORDERS),
    Request("first page", "POST", f"{API}runs/search", {"experiment_ids": ["$e"], "max_results": 2}, {"p": ("next_page_token",)}),
    Request("next page", "POST", f"{API}runs/search", {"experiment_ids": ["$e"], "max_results": 2, "page_token": "$p"}),
    Request("wrong page", "POST", f"{API}runs/search", {"experiment_ids": ["$e"], "page_token": "x"}),
    Request("of no experiment", "POST", f"{API}runs/search", {"experiment_ids": []}),
    Request("too many", "POST", f"{API}runs/search", {"experiment_ids": ["$e"], "max_results": 60_000}),
    Request("of text", "POST", f"{API}runs/search", {"experiment_ids": "$e"}),
]  # fmt: skip

A = "$e/$a/artifacts"
ARTIFACTS = [
    Request("put", "PUT", f"{FILES}/{A}/notes/a.txt", b"hello"),
    Request("put at the top", "PUT", f"{FILES}/{A}/b.bin", b"\x00\x01"),
    Request("put model", "PUT", f"{FILES}/{A}/model/MLmodel", b"flavors: {}"),
    Request("get", "GET", f"{FILES}/{A}/notes/a.txt"),
    Request("get missing", "GET", f"{FILES}/{A}/none.txt"),
    Request("list", "GET", f"{FILES}?path={A}"),
    Request("list folder", "GET", f"{FILES}?path={A}/notes"),
    Request("list file", "GET", f"{FILES}?path={A}/b.bin"),
    Request("list of run", "GET", f"{API}artifacts/list?run_id=$a"),
    Request("list of run folder", "GET", f"{API}artifacts/list?run_id=$a&path=notes"),
    Request("list of run outside", "GET", f"{API}artifacts/list?run_id=$a&path=../.."),
    Request("put outside", "PUT", f"{FILES}/{A}/../../x", b"x"),
    Request("put outside, encoded", "PUT", f"{FILES}/{A}/%2e%2e/%2e%2e/x", b"x"),
    Request("put outside, encoded twice", "PUT", f"{FILES}/{A}/%252e%252e/x", b"x"),
    Request("get absolute", "GET", f"{FILES}//etc/passwd"),
    Request("get file scheme", "GET", f"{FILES}/file:///etc/passwd"),
    Request("list outside", "GET", f"{FILES}?path=../../etc"),
    Request("delete", "DELETE", f"{FILES}/{A}/notes"),
    Request("list after", "GET", f"{FILES}?path={A}"),
]

NAME = {"name": "fno"}
REGISTRY = [
    Request("create", "POST", f"{API}registered-models/create", {**NAME, "tags": tags(k="v"), "description": "d"}),
    Request("create again", "POST", f"{API}registered-models/create", NAME),
    Request("create second", "POST", f"{API}registered-models/create", {"name": "Gnn"}),
    Request("create with slash", "POST", f"{API}registered-models/create", {"name": "a/b"}),
    Request("create without name", "POST", f"{API}registered-models/create", {}),
    Request("get", "GET", f"{API}registered-models/get?name=fno"),
    Request("get missing", "GET", f"{API}registered-models/get?name=none"),
    Request("update", "PATCH", f"{API}registered-models/update", {**NAME, "description": "new"}),
    Request("rename", "POST", f"{API}registered-models/rename", {"name": "Gnn", "new_name": "gnn"}),
    Request("rename to taken", "POST", f"{API}registered-models/rename", {"name": "gnn", "new_name": "fno"}),
    Request("tag", "POST", f"{API}registered-models/set-tag", {**NAME, "key": "t", "value": "1"}),
    Request("untag", "DELETE", f"{API}registered-models/delete-tag", {**NAME, "key": "k"}),
    Request("version", "POST", f"{API}model-versions/create", {**NAME, "source": "mlflow-artifacts:/$e/$a/artifacts/model", "run_id": "$a", "tags": tags(q="good")}),
    Request("second version", "POST", f"{API}model-versions/create", {**NAME, "source": "runs:/$a/model", "run_id": "$a", "description": "two"}),
    Request("version of missing", "POST", f"{API}model-versions/create", {"name": "none", "source": "runs:/$a/model", "run_id": "$a"}),
    Request("version of other run", "POST", f"{API}model-versions/create", {**NAME, "source": "mlflow-artifacts:/$e/$a/artifacts/model", "run_id": "$b"}),
    *(
        Request(f"version from {source}", "POST", f"{API}model-versions/create", {**NAME, "source": source, "run_id": "$a"})
        for source in (
            "file:///etc", "/etc/passwd", "mlflow-artifacts:/$e/$a/artifacts/../../..", "mlflow-artifacts:/$e/$a/artifacts/%2e%2e/%2e%2e",
            "http://evil.example/x", "models:/m-" + "0" * 32, "runs:/" + "0" * 32 + "/model",
            "mlflow-artifacts://evil.example/$e/$a/artifacts", "runs:/$a/../x", "",
        )
    ),
    Request("version get", "GET", f"{API}model-versions/get?name=fno&version=1"),
    Request("version get missing", "GET", f"{API}model-versions/get?name=fno&version=9"),
    Request("version get text", "GET", f"{API}model-versions/get?name=fno&version=x"),
    Request("version update", "PATCH", f"{API}model-versions/update", {**NAME, "version": "1", "description": "one"}),
    Request("version tag", "POST", f"{API}model-versions/set-tag", {**NAME, "version": "1", "key": "t", "value": "1"}),
    Request("version untag", "DELETE", f"{API}model-versions/delete-tag", {**NAME, "version": "1", "key": "q"}),
    Request("version files", "GET", f"{API}model-versions/get-download-uri?name=fno&version=1"),
    Request("stage", "POST", f"{API}model-versions/transition-stage", {**NAME, "version": "1", "stage": "production"}),
    Request("stage second", "POST", f"{API}model-versions/transition-stage", {**NAME, "version": "2", "stage": "Production", "archive_existing_versions": True}),
    Request("stage wrong", "POST", f"{API}model-versions/transition-stage", {**NAME, "version": "1", "stage": "live"}),
    Request("latest", "POST", f"{API}registered-models/get-latest-versions", NAME),
    Request("latest of stage", "GET", f"{API}registered-models/get-latest-versions?name=fno&stages=Production"),
    Request("alias", "POST", f"{API}registered-models/alias", {**NAME, "alias": "champion", "version": "1"}),
    Request("alias moved", "POST", f"{API}registered-models/alias", {**NAME, "alias": "champion", "version": "2"}),
    Request("alias latest", "POST", f"{API}registered-models/alias", {**NAME, "alias": "latest", "version": "2"}),
    Request("alias v1", "POST", f"{API}registered-models/alias", {**NAME, "alias": "v1", "version": "2"}),
    Request("alias of missing version", "POST", f"{API}registered-models/alias", {**NAME, "alias": "x", "version": "9"}),
    Request("by alias", "GET", f"{API}registered-models/alias?name=fno&alias=champion"),
    Request("by missing alias", "GET", f"{API}registered-models/alias?name=fno&alias=none"),
    Request("get with all", "GET", f"{API}registered-models/get?name=fno"),
    *(
        Request(f"models {text}", "GET", f"{API}registered-models/search?filter={text}")
        for text in ("", "name='fno'", "name LIKE 'F%25'", "name ILIKE 'F%25'", "tags.t='1'", "tag.`mlflow.prompt.is_prompt` != 'true'", "foo='1'", "name")
    ),
    *(
        Request(f"versions {text}", "GET", f"{API}model-versions/search?filter={text}")
        for text in ("", "name='fno'", "run_id='$a'", "version_number > 1", "source_path LIKE '%25model'", "name='fno' AND version_number=1", "tags.t='1'", "run_id IN ('$a')", "status='x'")
    ),
    Request("versions in order", "GET", f"{API}model-versions/search?order_by=version_number%20ASC"),
    Request("models in order", "GET", f"{API}registered-models/search?order_by=name%20DESC"),
    Request("models by wrong order", "GET", f"{API}registered-models/search?order_by=foo"),
    Request("unalias", "DELETE", f"{API}registered-models/alias", {**NAME, "alias": "champion"}),
    Request("version delete", "DELETE", f"{API}model-versions/delete", {**NAME, "version": "2"}),
    Request("next version", "POST", f"{API}model-versions/create", {**NAME, "source": "runs:/$a/model", "run_id": "$a"}),
    Request("delete", "DELETE", f"{API}registered-models/delete", {"name": "gnn"}),
    Request("delete missing", "DELETE", f"{API}registered-models/delete", {"name": "gnn"}),
]  # fmt: skip

LOGGED_MODELS = [
    Request("create", "POST", f"{API}logged-models", {"experiment_id": "$e", "name": "net", "model_type": "fno", "source_run_id": "$a", "params": [{"key": "w", "value": "64"}], "tags": tags(k="v")}, {"m": ("model", "info", "model_id")}),
    Request("create with slash", "POST", f"{API}logged-models", {"experiment_id": "$e", "name": "a/b"}),
    Request("create in missing", "POST", f"{API}logged-models", {"experiment_id": "987654", "name": "x"}),
    Request("put file", "PUT", f"{FILES}/$e/models/$m/artifacts/MLmodel", b"flavors: {}"),
    Request("list files", "GET", f"{API}logged-models/$m/artifacts/directories"),
    Request("finish", "PATCH", f"{API}logged-models/$m", {"model_id": "$m", "status": "LOGGED_MODEL_READY"}),
    Request("get", "GET", f"{API}logged-models/$m"),
    Request("get missing", "GET", f"{API}logged-models/m-{'0' * 32}"),
    Request("tag", "PATCH", f"{API}logged-models/$m/tags", {"model_id": "$m", "tags": tags(t="1", k="w")}),
    Request("untag", "DELETE", f"{API}logged-models/$m/tags/t"),
    Request("untag missing", "DELETE", f"{API}logged-models/$m/tags/t"),
    Request("params", "POST", f"{API}logged-models/$m/params", {"model_id": "$m", "params": [{"key": "h", "value": "1"}]}),
    Request("outputs", "POST", f"{API}runs/outputs", {"run_id": "$a", "models": [{"model_id": "$m", "step": 3}]}),
    Request("inputs", "POST", f"{API}runs/log-inputs", {"run_id": "$b", "models": [{"model_id": "$m"}]}),
    Request("metric", "POST", f"{API}runs/log-metric", {"run_id": "$a", "key": "val", "value": 0.5, "timestamp": 1, "step": 3, "model_id": "$m", "dataset_name": "grid", "dataset_digest": "d1"}),
    Request("batch metric", "POST", f"{API}runs/log-batch", {"run_id": "$a", "metrics": [{"key": "val2", "value": 2, "timestamp": 1, "step": 3, "model_id": "$m"}]}),
    Request("get with metrics", "GET", f"{API}logged-models/$m"),
    Request("run with models", "GET", f"{API}runs/get?run_id=$a"),
    *(
        Request(f"search {text}", "POST", f"{API}logged-models/search", {"experiment_ids": ["$e"], "filter": text})
        for text in ("", "name = 'net'", "name = 'other'", "metrics.val < 1", "metrics.val > 1", "params.w = '64'", "tags.k = 'w'", "model_type = 'fno'", "source_run_id = '$a'", "foo.bar = '1'", "name")
    ),
    Request("search on data", "POST", f"{API}logged-models/search", {"experiment_ids": ["$e"], "datasets": [{"dataset_name": "grid"}]}),
    Request("search on data with digest", "POST", f"{API}logged-models/search", {"experiment_ids": ["$e"], "datasets": [{"dataset_name": "grid", "dataset_digest": "d1"}]}),
    Request("search in order", "POST", f"{API}logged-models/search", {"experiment_ids": ["$e"], "order_by": [{"field_name": "metrics.val", "ascending": False}]}),
    Request("version", "POST", f"{API}model-versions/create", {**NAME, "source": "models:/$m", "model_id": "$m"}),
    Request("version files", "GET", f"{API}model-versions/get-download-uri?name=fno&version=4"),
    Request("delete", "DELETE", f"{API}logged-models/$m"),
    Request("get deleted", "GET", f"{API}logged-models/$m"),
    Request("data without digest", "POST", f"{API}runs/log-inputs", {"run_id": "$b", "datasets": [{"dataset": {"name": "grid"}}]}),
    Request("version from s3", "POST", f"{API}model-versions/create", {**NAME, "source": "s3://bucket/x", "run_id": "$a"}),
]  # fmt: skip

GROUPS = {
    "experiments": EXPERIMENTS, "runs": RUNS, "searches": SEARCHES, "artifacts": ARTIFACTS, "registry": REGISTRY,
    "logged models": LOGGED_MODELS,
}  # fmt: skip


def named() -> Iterator[tuple[str, Request]]:
    """Yield all requests with their full names, in order."""
    for group, requests in GROUPS.items():
        for request in requests:
            yield f"{group}: {request.name}", request
