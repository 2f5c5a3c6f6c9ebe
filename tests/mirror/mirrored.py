"""A server with models, and what an MLflow has of them."""

import json
import random
import urllib.error
import urllib.request
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import dill
from river import linear_model, naive_bayes, preprocessing

from tests.serving import Server

LONG_NAME = "9.a_-" + "b" * 195
"""A name of as many characters as there may be, with each that is not a letter."""

CLASSIFIERS = {
    "binary": preprocessing.StandardScaler() | linear_model.LogisticRegression(),
    "multiclass": naive_bayes.GaussianNB(),
}


def points(number: int, seed: int = 1) -> list[dict[str, Any]]:
    """Observations of run times."""
    drawn = random.Random(seed)
    found = []
    for _ in range(number):
        x = {"x": drawn.randint(1, 9), "y": drawn.randint(1, 9), "z": drawn.random() * 9}
        found.append({"x": x, "y": 0.3 * x["x"] * x["y"] * x["z"] + drawn.random()})
    return found


def learn(server: Server, stream: str, observations: list[dict[str, Any]]) -> None:
    """Post observations, some at a time."""
    for low in range(0, len(observations), 100):
        body = {"observations": observations[low : low + 100]}
        status, answer = server.post(f"/api/v1/streams/{stream}/observations/", body)
        assert status == 201, answer


def make(server: Server, stream: str = "jobs", models: Iterable[tuple[str, str]] = (("runtime", "runtime"),)) -> None:
    """Make a stream with models, by their names and recipes."""
    assert server.post("/api/v1/streams/", {"name": stream, "target": {"name": "time", "unit": "s"}})[0] == 201
    for name, recipe in models:
        assert server.post("/api/v1/models/", {"name": name, "stream": stream, "recipe": recipe})[0] == 201


def make_classifier(server: Server, flavor: str, observations: int = 60) -> None:
    """Upload a classifier and let it learn. Its stream has its name."""
    headers = {"Content-Type": "application/octet-stream"}
    status, answer = server.request("POST", f"/api/model/{flavor}/{flavor}/", dill.dumps(CLASSIFIERS[flavor]), headers)
    assert status < 300, answer
    label = (lambda y: y > 20) if flavor == "binary" else (lambda y: "long" if y > 40 else "short" if y < 10 else "mid")
    learn(server, flavor, [{"x": one["x"], "y": label(one["y"])} for one in points(observations, 5)])


class Target:
    """What an MLflow has, as its REST API tells it.

    Parameters
    ----------
    url
        Its address.
    token
        Sent with each request.
    """

    def __init__(self, url: str, token: str = "") -> None:
        self.url = url
        self._headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})

    def ask(self, path: str, body: Any = None, **query: Any) -> Any:
        """The answer to a GET, or to a POST with a body."""
        url = f"{self.url}/api/2.0/mlflow/{path}" + (f"?{urlencode(query)}" if query else "")
        request = urllib.request.Request(url, None if body is None else json.dumps(body).encode(), self._headers)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def runs(self, experiment: str, model: str) -> list[dict[str, Any]]:
        """The runs of a model, the oldest first."""
        try:
            found = self.ask("experiments/get-by-name", experiment_name=experiment)["experiment"]["experiment_id"]
        except urllib.error.HTTPError:
            return []
        query = {"experiment_ids": [found], "filter": f"tags.`tailrace.model` = '{model}'"}
        runs = self.ask("runs/search", query).get("runs", [])
        return sorted(runs, key=lambda run: int(tags_of(run["data"])["tailrace.generation"]))

    def run(self, experiment: str, model: str) -> dict[str, Any]:
        """The only run of a model."""
        (found,) = self.runs(experiment, model)
        return found

    def history(self, run: dict[str, Any], key: str) -> list[tuple[int, float, int]]:
        """Step, value and time of each point of a metric, as it is stored."""
        found = self.ask("metrics/get-history", run_id=run["info"]["run_id"], metric_key=key, max_results=25_000)
        return [(int(one.get("step", 0)), one["value"], int(one["timestamp"])) for one in found.get("metrics", [])]

    def versions(self, name: str) -> dict[str, dict[str, str]]:
        """The tags of each version of a registered model, by its number."""
        found = self.ask("model-versions/search", filter=f"name='{name}'").get("model_versions", [])
        return {one["version"]: tags_of(one) for one in sorted(found, key=lambda one: int(one["version"]))}

    def live(self, name: str) -> str:
        """The number of the version that the alias names."""
        return str(self.ask("registered-models/alias", name=name, alias="live")["model_version"]["version"])


def tags_of(data: dict[str, Any]) -> dict[str, str]:
    return {tag["key"]: tag["value"] for tag in data.get("tags", [])}


def metrics_as_of(server: Server, model: str, at: int) -> dict[str, float]:
    """The metrics of a model after an observation, as the server tells them, under the names that they are mirrored by."""
    status, found = server.get(f"/api/v1/models/{model}/metrics/?at={at}")
    assert status == 200, found
    rolling = {f"rolling {name}": value for name, value in found["rolling"].items() if name != "window"}
    return {"scored": found["n"], **found["metrics"], **rolling}


def check_series(server: Server, target: Target, run: dict[str, Any], model: str, head: int, at: Iterable[int]) -> None:
    """Check that each observation has one point of each metric, with the server's value at some of them."""
    keys = [one["key"] for one in run["data"]["metrics"]]
    expected = {number: metrics_as_of(server, model, number) for number in at}
    assert set(keys) == set(expected[head])
    for key in keys:
        points = target.history(run, key)
        assert sorted(step for step, _, _ in points) == list(range(1, head + 1)), key
        values = {step: value for step, value, _ in points}
        assert {number: values[number] for number in expected} == {n: found[key] for n, found in expected.items()}, key


def folder_of_state(server: Server) -> Path:
    """Where the server's directory keeps how far models are mirrored."""
    return server.directory / "mirror"
