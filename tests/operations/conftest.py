"""A server that has been used, and its backup; made once for all tests."""

import contextlib
import http.client
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from server.operations.backup.container import Reader
from tests.serving import Server, fresh_database

PROBES = [{"x": x, "y": y, "z": z} for x, y, z in ((2, 3, 4), (8.5, 8, 8), (20, 1, 7))]
MODELS = {"runs-linear": "runs", "runs-tree": "runs", "kinds-tree": "kinds"}


class Used(NamedTuple):
    """A server that people have worked with, what it says, and a backup of it."""

    server: Server
    token: str
    said: dict[str, Any]
    events: list[tuple[str, int]]
    backup: Path


def asked(server: Server, token: str) -> dict[str, Any]:
    """What a server says to those who ask for everything."""
    headers = {"Authorization": f"Bearer {token}"}
    said = {}
    for model, stream in MODELS.items():
        for path in (
            f"models/{model}/metrics/",
            f"models/{model}/history/",
            f"streams/{stream}/observations/?limit=10000",
        ):
            said[path] = server.get(f"/api/v1/{path}", **headers)
        said[model] = server.post(f"/api/v1/models/{model}/predict/", {"xs": PROBES}, **headers)
    assert {status for status, _ in said.values()} == {200}, said
    return said


def told(server: Server, token: str) -> list[tuple[str, int]]:
    """Kind and number of all events of stream ``runs``, from the very first to its last observation."""
    headers = {"Authorization": f"Bearer {token}"}
    head = server.get("/api/v1/streams/runs/", **headers)[1]["head"]
    link = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    link.request("GET", "/api/v1/events/?stream=runs", headers=headers | {"Last-Event-ID": "0"})
    found, kind = [], ""
    for line in link.getresponse():
        if line.startswith(b"event: "):
            kind = line[7:].strip().decode()
        if line.startswith(b"data: "):
            data = json.loads(line[6:])
            found.append((kind, data.get("seq", data.get("after"))))
            if data.get("seq") == head:
                break
    link.close()
    return found


def points(begin: int, count: int) -> list[dict[str, Any]]:
    """Observations with keys, different for each ``begin``."""
    xs = [{"x": n % 19 + 1, "y": n % 7 + 0.5, "z": n % 5} for n in range(begin, begin + count)]
    return [{"x": x, "y": x["x"] * x["y"] + 0.1 * x["z"], "key": f"k{begin + n}"} for n, x in enumerate(xs)]


def fill(server: Server, token: str) -> None:
    """Streams, models, points, predictions that wait, and one taken back."""
    headers = {"Authorization": f"Bearer {token}"}

    def post(path: str, body: Any) -> Any:
        status, answer = server.post(f"/api/v1/{path}", body, **headers)
        assert 200 <= status < 300, answer
        return answer

    post("streams/", {"name": "runs", "target": {"name": "t", "unit": "s"}, "description": "tab\t, line\n, \\N, Å"})
    post("streams/", {"name": "kinds", "target": {"name": "kind", "kind": "category"}, "segment": "z"})
    for model, recipe in zip(MODELS, ("linear", "hoeffding-tree", "hoeffding-tree-classifier"), strict=True):
        post("models/", {"name": model, "stream": MODELS[model], "recipe": recipe})
    for begin in range(0, 300, 50):
        some = points(begin, 50)
        post("streams/runs/observations/", {"observations": some})
        post("models/runs-linear/predict/", {"x": PROBES[0], "identifier": f"waits-{begin}"})
        kinds = [{"x": one["x"], "y": "big" if one["y"] > 50 else "small"} for one in some]
        post("streams/kinds/observations/", {"observations": kinds})
    post("predictions/waits-0/label/", {"y": 1.5})
    post("streams/runs/observations/", points(1000, 1)[0])


@contextlib.contextmanager
def place(directory: Path, kind: str, **settings: Any) -> Iterator[Server]:
    """A server that isn't started yet, on an empty database of either kind; stopped at the end."""
    with fresh_database("backup", empty=True) if kind == "postgresql" else contextlib.nullcontext("") as database:
        server = Server(directory, database, empty=True, **{"workers": 1, "threads": 8, "auth": "required", **settings})
        try:
            yield server
        finally:
            if server.process is not None:
                server.stop()


def sections(backup: bytes) -> dict[str, list[list[Any]]]:
    """The rows of each table in a backup that is whole."""
    return {table: [row for rows in chunks for row in rows] for table, _, chunks in Reader(io.BytesIO(backup)).tables()}


@pytest.fixture(scope="session")
def kind() -> str:
    """The kind of database that these tests run on."""
    return os.environ.get("TAILRACE_TEST_ON", "sqlite")


@pytest.fixture(scope="session")
def used(tmp_path_factory: pytest.TempPathFactory, kind: str) -> Iterator[Used]:
    directory = tmp_path_factory.mktemp("used")
    with place(directory / "var", kind) as server:
        server.start()
        token = server.manage("create_token", "ada", "--create-user", "--role", "admin").stdout.strip()
        fill(server, token)
        said = asked(server, token)
        backup = directory / "tailrace-2026-11-21.gz"
        done = server.manage("backup", str(backup))
        assert done.returncode == 0, done.stderr
        yield Used(server, token, said, told(server, token), backup)
