"""The published riverapi client against a real server that requires tokens."""

import pickle
from collections.abc import Iterator
from typing import NamedTuple

import pytest
import requests
import riverapi.main
from river import linear_model

from tests.people import bearer, made_on
from tests.serving import Server, fresh_database


class Person(NamedTuple):
    """A researcher, and the number and secret of their token."""

    name: str
    number: int
    secret: str


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all: each test has a person of its own, and leaves no model."""
    directory = tmp_path_factory.mktemp("riverapi") / "var"
    with fresh_database("riverapi") as database:
        server = Server(directory, database, auth="required", workers=2, threads=4, address_rate=0).start()
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture(scope="module")
def people(served: Server) -> dict[str, tuple[int, str]]:
    return made_on(served, root="admin", **{f"ada{n}": "researcher" for n in range(5)})


@pytest.fixture(scope="module")
def admin(people: dict[str, tuple[int, str]]) -> dict[str, str]:
    return bearer(people.pop("root")[1])


@pytest.fixture
def guarded(served: Server, admin: dict[str, str]) -> Iterator[Server]:
    yield served
    for name in served.get("/api/models/", **admin)[1]["models"]:
        assert served.request("DELETE", f"/api/v1/models/{name}/", headers=admin)[0] in (200, 204)


@pytest.fixture
def ada(guarded: Server, people: dict[str, tuple[int, str]]) -> Person:
    name, (number, secret) = people.popitem()
    return Person(name, number, secret)


@pytest.fixture
def river_client(guarded, ada, monkeypatch):
    monkeypatch.setenv("RIVER_ML_USER", ada.name)
    monkeypatch.setenv("RIVER_ML_TOKEN", ada.secret)
    return riverapi.main.Client(guarded.url, quiet=True)


def test_riverapi_needs_its_two_variables_and_nothing_else(guarded, river_client, monkeypatch):
    assert river_client.models() == {"models": []}
    scheme, _, access = river_client.headers["Authorization"].partition(" ")
    assert (scheme, access.count(".")) == ("Bearer", 2)

    river_client.headers["Authorization"] = "Bearer eyJvbGQ.eyJvbGQ.b2xk"  # one that no longer holds is replaced
    assert river_client.models() == {"models": []}

    for wrong in ("trc_" + "0" * 64, "trc_", "wrong", ""):
        monkeypatch.setenv("RIVER_ML_TOKEN", wrong)
        with pytest.raises(SystemExit):
            riverapi.main.Client(guarded.url, quiet=True).models()


def test_every_call_of_the_published_client_signs_in_by_itself(guarded, river_client, tmp_path):
    """Each as the first that a client makes, so that each is refused, goes through the handshake and is sent again."""

    def new() -> riverapi.main.Client:
        return riverapi.main.Client(guarded.url, quiet=True)

    assert new().info()["id"] == "tailrace"  # which nobody needs to sign in for
    assert new().upload_model(linear_model.LinearRegression(), "regression", "named") == "named"
    name = new().upload_model(linear_model.LinearRegression(), "regression")
    assert new().models() == {"models": sorted(["named", name])}
    for n in range(3):
        assert new().learn(name, {"a": float(n)}, 2.0 * n) == "Successful learn."
    answer = new().predict(name, {"a": 3.0})
    assert answer["model"] == name
    assert new().label(6.0, answer["identifier"], name) == "Successful label."
    assert set(new().metrics(name)) == {"MAE", "RMSE", "SMAPE"}
    calls = new().stats(name)
    assert {kind: calls[kind]["n_calls"] for kind in calls} == {"predict": 1, "learn": 3}
    assert "intercept_lr" in new().get_model_json(name)
    with open(new().download_model(name, str(tmp_path / "model.pkl")), "rb") as file:
        assert pickle.load(file).predict_one({"a": 3.0}) != 0
    new().delete_model("named")
    assert new().models() == {"models": [name]}
    assert guarded.get("/api/models/")[0] == 401  # and nobody came in without


def test_the_published_client_listens_once_it_is_signed_in(river_client):
    # It sends a refused request again without streaming, and would wait for the end of the events: so not as its first.
    name = river_client.upload_model(linear_model.LinearRegression(), "regression")
    for n in range(3):
        river_client.learn(name, {"a": float(n)}, 2.0 * n)
    river_client.set_header("Last-Event-ID", "0")
    for listen in (river_client.stream_events, river_client.stream_metrics):
        lines = listen()
        told = [line for line in (next(lines) for _ in range(6)) if line.startswith("data: ")]
        assert len(told) >= 2
        lines.close()


def test_a_role_that_was_lowered_counts_for_an_access_token_that_is_out(guarded, ada, admin, river_client):
    river_client.models()
    lowered = guarded.request("PATCH", f"/api/v1/users/{ada.name}/", {"role": "viewer"}, admin)
    assert lowered[0] == 200
    assert river_client.models() == {"models": []}
    with pytest.raises(SystemExit):
        river_client.upload_model(linear_model.LinearRegression(), "regression")


def test_a_revocation_counts_at_once_on_every_worker_and_no_log_line_holds_a_credential(guarded, ada, river_client):
    river_client.models()
    access = river_client.headers["Authorization"].removeprefix("Bearer ")

    def statuses() -> set[int]:
        # Each request has a connection of its own, so that both workers answer some.
        return {
            requests.get(f"{guarded.url}/api/models/", headers={"Authorization": f"Bearer {credential}"}).status_code
            for credential in [ada.secret, access] * 20
        }

    assert statuses() == {200}
    listed = guarded.manage("revoke_token", "999").stderr
    assert f"{ada.number} (test of {ada.name})" in listed
    revoked = guarded.manage("revoke_token", str(ada.number))
    assert revoked.returncode == 0, revoked.stderr
    assert statuses() == {401}
    with pytest.raises(SystemExit):
        river_client.models()
    log = guarded.log.read_text()
    assert ada.secret not in log
    assert access not in log
