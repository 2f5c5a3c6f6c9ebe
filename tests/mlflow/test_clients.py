"""Real clients of MLflow, of two versions, in environments of their own: what they log is there, and what they load predicts.

:mod:`tests.mlflow.clients` installs them on first use.
"""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.mlflow.clients import VERSIONS, client
from tests.people import made_on
from tests.serving import Server, fresh_database

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with fresh_database("mlflow") as database:
        server = Server(tmp_path_factory.mktemp("mlflow"), database, auth="required").start()
        yield server
        server.stop()


@pytest.mark.parametrize("version", VERSIONS)
def test_a_real_client_logs_searches_registers_and_loads(server: Server, version: str) -> None:
    secret = made_on(server, **{f"ada{version[0]}": "researcher"})[f"ada{version[0]}"][1]
    environ = {
        **os.environ,
        "MLFLOW_TRACKING_TOKEN": secret,
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    done = subprocess.run(
        [client(version), Path(__file__).parent / "session.py", server.url], env=environ, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert found.pop("version").startswith(version)
    data = found.pop("data")
    assert {key: data[key] for key in ("loss", "nan", "inf", "minus")} == {
        "loss": "0.2",
        "nan": "nan",
        "inf": "inf",
        "minus": "-inf",
    }
    assert found == {
        "params": {"lr": "0.01", "width": "64", "name": "fno", "p": "1"},
        "team": "a",
        "status": "FINISHED",
        "history": [1 / (step + 1) for step in range(5)],
        "batch": 900,
        "parent": True,
        "files": ["d.json", "notes"],
        "folder": [["notes/a.txt", 5]],
        "text": "hello",
        "downloaded": ["d.json", "notes/a.txt"],
        "search": ["first"],
        "pages": [1, 1],
        "changed param": "INVALID_PARAMETER_VALUE",
        "missing run": "RESOURCE_DOES_NOT_EXIST",
        "not a filter": "INVALID_PARAMETER_VALUE",
        "foreign source": "INVALID_PARAMETER_VALUE",
        "registry": ["1", {"k": "v"}, "a description", ["champion"]],
        "versions": ["1"],
        "registered": True,
        "predicted": [[2, 4], [2, 4], [2, 4]],
        "deleted": True,
    }
