"""A client of the API for tests, and what an answer is compared with."""

import json
from typing import Any, NamedTuple

import dill
from django.test import Client
from river import linear_model, preprocessing

from server.learning.models import Model, Prediction
from server.streams.models import Batch, Key, Retraction, Stream

POINT = {"a": 1.5, "k": "one"}
"""A point as the declared stream of :func:`world` takes it."""


class Api:
    """Django's test client, speaking JSON."""

    def __init__(self, client: Client) -> None:
        self.client = client

    def get(self, path: str, body: Any = None, **headers: str) -> Any:
        return self.client.generic("GET", path, self._encoded(body), "application/json", headers=headers)

    def post(self, path: str, body: Any, content_type: str = "application/json", **headers: str) -> Any:
        return self.client.generic("POST", path, self._encoded(body), content_type, headers=headers)

    def delete(self, path: str, body: Any = None, content_type: str = "application/json") -> Any:
        return self.client.generic("DELETE", path, self._encoded(body), content_type)

    def patch(self, path: str, body: Any) -> Any:
        return self.client.generic("PATCH", path, self._encoded(body), "application/json")

    @staticmethod
    def _encoded(body: Any) -> bytes:
        return b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()

    def ok(self, path: str, body: Any = None, status: int | None = None) -> Any:
        """The JSON of an answer that must be good: of a POST where there is a body, else of a GET."""
        response = self.get(path) if body is None else self.post(path, body)
        expected = (200, 201, 202) if status is None else (status,)
        assert response.status_code in expected, response.content
        return response.json()

    # What most tests begin with

    def stream(self, name: str = "s", **fields: Any) -> Any:
        return self.ok("/api/v1/streams/", {"name": name, "target": {"name": "time", "unit": "s"}, **fields}, 201)

    def model(self, name: str = "lin", stream: str = "s", recipe: str = "linear", **fields: Any) -> Any:
        return self.ok("/api/v1/models/", {"name": name, "stream": stream, "recipe": recipe, **fields}, 201)

    def learn(self, x: Any, y: Any, stream: str = "s", **fields: Any) -> Any:
        return self.ok(f"/api/v1/streams/{stream}/observations/", {"x": x, "y": y, **fields}, 201)

    def upload(self, name: str = "up", flavor: str = "regression", estimator: Any = None) -> Any:
        return self.client.post(
            f"/api/model/{flavor}/{name}/", dill.dumps(estimator or linear()), "application/octet-stream"
        )


def linear() -> Any:
    return preprocessing.StandardScaler() | linear_model.LinearRegression(intercept_lr=0.1)


def refused(response: Any, status: int, field: str | None = None, code: str | None = None) -> dict[str, Any]:
    """Check that an answer is an error in the one shape, and return it."""
    assert response.status_code == status, (response.status_code, response.content[:500])
    assert response.headers["Content-Type"] == "application/json"
    data = response.json()
    path = response.wsgi_request.path
    on_riverapi_side = path.startswith("/api/") and not path.startswith(("/api/v1/", "/api/seed/"))
    assert set(data) == ({"error", "message"} if on_riverapi_side else {"error"})
    error: dict[str, Any] = data["error"]
    assert {"code", "message", "request_id"} <= set(error) <= {"code", "message", "field", "request_id"}
    assert all(isinstance(value, str) and value for value in error.values())
    assert error["request_id"] == response.headers["X-Request-Id"]
    if on_riverapi_side:
        assert data["message"] == error["message"]
    if field is not None:
        assert error.get("field") == field, error
    if code is not None:
        assert error["code"] == code, error
    return error


def everything(api: Api) -> Any:
    """All that a request could have changed, as it can be seen from outside and in the tables."""
    tables = [
        list(table.objects.order_by("pk").values(*[f.name for f in table._meta.fields if f.name != "leased_until"]))
        for table in (Stream, Batch, Key, Retraction, Model, Prediction)
    ]
    names = Model.objects.order_by("name").values_list("name", flat=True)
    metrics = [api.get(f"/api/v1/models/{name}/metrics/").content for name in names]
    stats = [
        {kind: calls["n_calls"] for kind, calls in api.ok(f"/api/v1/models/{name}/stats/").items() if kind != "model"}
        for name in names
    ]
    return tables, metrics, stats


class Event(NamedTuple):
    """One event as a client sees it."""

    kind: str
    data: Any
    id: str


def parsed(text: str) -> Event:
    fields = dict(line.split(": ", 1) for line in text.strip().splitlines())
    return Event(fields.get("event", "message"), json.loads(fields["data"]), fields["id"])
