"""The client and the commands for experiments and runs, on a real server."""

import asyncio
import json
import math
import os
import subprocess
import sys

import pandas as pd
import pytest
from tailrace import AsyncClient, Client, NotFound, Refused

from tests.serving import PATIENCE, ROOT, Server, fresh_database
from tests.tracking.served import FIELD, UID, metrics

pytestmark = pytest.mark.one_database
PATH = f"/api/v1/runs/{UID}/"


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A server with an experiment of three runs, of which one has logged everything that there is to log."""
    with fresh_database("tracking_client") as database:
        server = Server(tmp_path_factory.mktemp("tracking") / "var", database, workers=1, threads=8).start()
        try:
            client = Client(server.url, "")
            for number, uid in enumerate((UID, "d" * 32, "e" * 32)):
                body = {"experiment": "darcy flow", "name": f"run {number}", "started_ms": 1_000 * number}
                client.send("PUT", f"/api/v1/runs/{uid}/", {**body, "params": {"width": str(16 * number)}})
            lines = [metrics(step, loss=1 / (step + 1), odd="NaN") for step in range(25)]
            lines += [metrics(25, loss="Infinity"), {"kind": "tags", "values": {"team": "pde"}}]
            client.send("POST", f"{PATH}lines/", {"writer": "w", "first": 0, "lines": lines})
            client.server.ask("PUT", f"{PATH}artifacts/plots/field.bin", FIELD)
            yield server
        finally:
            server.kill()


@pytest.fixture(scope="module")
def client(served):
    return Client(served.url, "")


def test_runs_are_a_table_and_a_frame(client):
    runs = client.runs(experiments=["darcy flow"])
    assert [one["name"] for one in runs] == ["run 2", "run 1", "run 0"]
    frame = runs.to_frame()
    assert frame.loc[UID, "metrics.loss"] == math.inf
    assert math.isnan(frame.loc[UID, "metrics.odd"])
    assert math.isnan(frame.loc["d" * 32, "metrics.loss"])
    assert frame.loc["e" * 32, "params.width"] == "32"
    assert frame.loc["d" * 32, "started"] == pd.Timestamp("1970-01-01 00:00:01", tz="UTC")
    assert "metrics.loss" in repr(runs)
    chosen = client.experiment("darcy flow").runs(columns=["params.width"], limit=2)
    assert [one["params"] for one in chosen] == [{"width": "32"}, {"width": "16"}]
    assert [one["metrics"] for one in chosen] == [{}, {}]
    assert client.runs(experiments=["darcy flow"], statuses=["FINISHED"]).to_frame().empty


def test_a_run_shows_its_history_its_artifacts_and_its_links(client, tmp_path):
    run = client.run(UID)
    history = run.history("loss").to_frame()
    assert list(history.index) == list(range(26))
    assert history["value"].iloc[:25].tolist() == [1 / (step + 1) for step in range(25)]
    assert history["value"].iloc[25] == math.inf
    assert [(one["path"], one["is_folder"]) for one in run.artifacts()] == [("plots", True)]
    assert run.download("plots/field.bin", tmp_path / "field.bin").read_bytes() == FIELD
    linked = run.link("model", "runtime", at=120)
    assert linked["links"] == [{"to": "model", "name": "runtime", "at": 120}]
    assert run.tag({"team": None, "checked": "yes"})["tags"] == {"checked": "yes"}
    assert run.status == "RUNNING"
    assert "metric loss" in repr(run)
    with pytest.raises(NotFound, match="'loss', 'odd'"):
        run.history("none")


def test_an_experiment_is_created_deleted_and_restored(client):
    made = client.create_experiment("another: one/ü", description="more", tags={"a": "b"})
    assert made.info()["description"] == "more"
    with pytest.raises(Refused, match="exists already"):
        client.create_experiment("another: one/ü")
    made.delete()
    assert [one["name"] for one in client.experiments()] == ["darcy flow"]
    made.restore()
    assert len(client.experiments()) == 2
    with pytest.raises(NotFound, match="no experiment named 'none'"):
        client.experiment("none").info()


def test_the_asynchronous_client_does_the_same(served):
    async def ask():
        async with AsyncClient(served.url, "") as client:
            run = client.run(UID)
            runs = await client.runs(experiments=["darcy flow"])
            info = await client.experiment("darcy flow").info()
            return len(runs), info["runs"], await run.status, len(await run.history("loss"))

    assert asyncio.run(ask()) == (3, 3, "RUNNING", 26)


def test_the_commands_print_tables_and_json(served, tmp_path):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TAILRACE_")}
    environment |= {"PYTHONPATH": str(ROOT / "client"), "TAILRACE_URL": served.url}

    def tailrace(*arguments, code=0):
        done = subprocess.run(
            [sys.executable, "-m", "tailrace", *arguments], cwd=tmp_path, env=environment, capture_output=True,
            text=True, check=False, timeout=PATIENCE,
        )  # fmt: skip
        assert done.returncode == code, done.stderr
        return done.stdout + done.stderr

    assert "darcy flow" in tailrace("experiments")
    assert json.loads(tailrace("experiments", "darcy flow", "--json"))["runs"] == 3
    assert "run 1" in tailrace("runs", "--experiment", "darcy flow", "--column", "params.width")
    found = json.loads(tailrace("runs", "--column", "metrics.loss", "--limit", "1", "--json"))["runs"]
    assert [one["name"] for one in found] == ["run 2"]
    assert len(json.loads(tailrace("runs", UID, "--history", "loss", "--json"))["points"]) == 26
    assert "plots/" in tailrace("runs", UID, "--artifacts")
    tailrace("runs", UID, "--download", "plots/field.bin")
    assert (tmp_path / "field.bin").read_bytes() == FIELD
    tailrace("runs", "e" * 32, "--delete")
    assert "run 2" not in tailrace("runs")
    assert "run 2" in tailrace("runs", "--deleted")
    tailrace("runs", "e" * 32, "--restore")
    for wrong in (("runs", "--history", "x"), ("runs", UID, "--limit", "3"), ("experiments", "--delete")):
        tailrace(*wrong, code=2)
