"""What is sent to MLflow arrives once, on a store that would keep it twice, and also if answers get lost.

`TAILRACE_TEST_MLFLOW` names the command `mlflow` of an environment that has it: then it is tried on a real server, too.
"""

import contextlib
import math
import os
import subprocess
import threading
import time
import urllib.request

import pytest
from tailrace.tracking import ExperimentConfig, ExperimentTracker, NeuralOperatorMetrics
from tailrace.tracking.backends import Backend
from tailrace.tracking.flush import flush_runs
from tailrace.tracking.senders.mlflow_requests import MLflowRequests

from tests.client.append_only_mlflow import append_only_mlflow
from tests.client.trainings import files, new_uid, train
from tests.people import bearer, made_on
from tests.serving import free_port

pytestmark = [pytest.mark.one_database, pytest.mark.filterwarnings("ignore::tailrace.tracking.warning.TrackingWarning")]


@pytest.fixture
def store(monkeypatch):
    monkeypatch.setenv("TAILRACE_TRACKING_HANDOVER", "0")
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_USERNAME"):
        monkeypatch.delenv(name, raising=False)
    with append_only_mlflow() as found:
        yield found


KILLED = """
run = tracker.start_run(run_id=uid)
for step in range({points}):
    tracker.log_metrics({{"loss": 1 / (step + 1)}}, step=step)
os.kill(os.getpid(), signal.SIGKILL)
"""


def killed(store, spool, points=2500):
    uid = new_uid()
    train(KILLED.format(points=points), spool, uid=uid, backends="mlflow", MLFLOW_TRACKING_URI=store.url)
    return [(step, 1 / (step + 1)) for step in range(points)]


def flush_all(spool):
    """Flush until nothing is left: after an answer that was lost, the next try goes on."""
    for _ in range(20):
        if not flush_runs(str(spool / "tracking"), 60).left:
            return
    raise AssertionError("something is left")


def test_every_point_once_although_answers_get_lost(store, tmp_path):
    store.lose, store.lose_creation = 3, 1
    expected = killed(store, tmp_path)
    flush_all(tmp_path)
    assert store.points("loss") == expected
    assert max(store.batches) <= 1000
    assert len(store.runs) == 1
    assert files(tmp_path) == []


def test_every_point_once_although_the_sender_is_killed_before_it_notes_that_it_sent(store, tmp_path):
    """The cursor is lost: all lines are compared with what the server has."""
    expected = killed(store, tmp_path, points=1500)
    (path,) = files(tmp_path)
    kept = path.read_bytes()
    flush_all(tmp_path)
    path.parent.mkdir()
    path.write_bytes(kept)
    flush_all(tmp_path)
    assert store.points("loss") == expected
    assert len(store.runs) == 1


def test_what_it_refuses_does_not_stop_the_rest(store, tmp_path):
    store.refuse = {"bad"}
    tracker = ExperimentTracker.create("mlflow", ExperimentConfig(name="melts"), tracking_uri=store.url, spool=tmp_path)
    with tracker.start_run() as run:
        for step in range(40):
            tracker.log_metrics({"good": float(step), **({"bad": 1.0} if step in (7, 30) else {})}, step=step)
        tracker.log_params({"lr": 1})
        tracker.log_params({"lr": 2})
    assert run.flush(60), run.status()
    assert store.points("good") == [(step, float(step)) for step in range(40)]
    status = run.status()["mlflow"]
    assert (status.kept, status.refused) == (0, 3)
    assert "bad bad" in str(status)
    assert "param lr" in str(status)


def test_values_names_domains_artifacts_and_the_status(store, tmp_path):
    note = tmp_path / "note.txt"
    note.write_text("hello")
    tracker = ExperimentTracker.create("mlflow", ExperimentConfig(name="melts"), tracking_uri=store.url, spool=tmp_path)
    with tracker.start_run("named") as run:
        tracker.log_metrics({"odd": math.nan, "a[0]": 1.0}, step=1)
        tracker.log_metrics({"odd": math.inf}, step=2)
        tracker.log_physics_metrics(
            NeuralOperatorMetrics(operator_type="FNO", modes=12, input_resolution=(16, 16)), step=3
        )
        tracker.log_artifact(note, "notes")
        tracker.link(stream="melts", at=9)
        tracker.set_tags({"t": "x" * 9000})
    assert run.flush(60), run.status()
    (found,) = store.runs.values()
    assert store.points("odd") == [(1, "NaN"), (2, "Infinity")]
    (changed,) = [one["key"] for one in found["metrics"] if one["key"].startswith("a_0_-")]
    assert found["tags"][f"tailrace.name.{changed}"] == "a[0]"
    assert found["tags"]["tailrace.infinite.odd"] == "Infinity at step 2"
    assert found["tags"]["tailrace.link.stream.melts"] == "9"
    assert len(found["tags"]["t"]) <= 5000
    assert store.points("neural_operator/modes") == [(3, 12.0)]
    assert store.points("neural_operator/check.modes_resolved") == [(3, 0.0)]
    assert found["tags"]["neural_operator/operator_type"] == "FNO"
    assert list(store.artifacts.values()) == [b"hello"]
    assert next(iter(store.artifacts)).endswith("/artifacts/notes/note.txt")
    assert found["info"]["status"] == "FINISHED"
    assert run.id in found["tags"].values()


def test_a_token_that_is_renewed_in_its_file(store, tmp_path):
    store.tokens = {"new"}
    token = tmp_path / "token"
    token.write_text("old")
    tracker = ExperimentTracker.create(
        "mlflow", ExperimentConfig(name="melts"), tracking_uri=store.url, mlflow_token_file=token, spool=tmp_path
    )
    with tracker.start_run() as run:
        tracker.log_metrics({"loss": 1.0}, step=1)
        deadline = time.monotonic() + 60
        while not run.status()["mlflow"].trouble and time.monotonic() < deadline:
            threading.Event().wait(0.02)
        assert "401" in run.status()["mlflow"].trouble
    token.write_text("new\n")
    for job in run._writer._jobs:
        job.next_at = 0.0
    assert run.flush(60), run.status()
    assert store.points("loss") == [(1, 1.0)]


def test_processes_of_one_run_make_one_run(store, tmp_path):
    uid = new_uid()
    program = """
run = tracker.start_run(run_id=uid)
for number in range(6):
    if os.fork() == 0:
        run.log_metrics({"loss": float(number)}, step=number)
        run.flush(60)
        os._exit(0)
for number in range(6):
    os.wait()
run.flush(60)
os._exit(0)
"""
    train(program, tmp_path, uid=uid, backends="mlflow", MLFLOW_TRACKING_URI=store.url)
    flush_all(tmp_path)
    assert len(store.runs) == 1
    assert sorted(store.points("loss")) == [(number, float(number)) for number in range(6)]


# --- real servers ---


def test_our_own_mlflow_api_has_every_point_after_a_kill(serve, tmp_path):
    """Beside other back ends, a training may log to Tailrace as if it were an MLflow."""
    server = serve(workers=1, threads=4, auth="required")
    token = made_on(server, ada="researcher")["ada"][1]
    uid = new_uid()
    own = {"MLFLOW_TRACKING_URI": server.url, "MLFLOW_TRACKING_TOKEN": token}
    program = KILLED.replace("for step", "tracker.log_params({{'lr': 0.1}})\nfor step", 1).format(points=2500)
    train(program, tmp_path, uid=uid, backends="mlflow", **own)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in own.items():
            patch.setenv(name, value)
        flush_all(tmp_path)
        flush_all(tmp_path)
    (run,) = server.request("POST", "/api/v1/runs/search/", {}, bearer(token))[1]["runs"]
    assert (run["experiment"], run["params"], run["created_by"]) == ("melts", {"lr": "0.1"}, "ada")
    path = f"/api/v1/runs/{run['uid']}/history/?key=loss&limit=10000"
    points = server.request("GET", path, None, bearer(token))[1]["points"]
    assert [(one["step"], one["value"]) for one in points] == [(step, 1 / (step + 1)) for step in range(2500)]


@pytest.mark.slow
@pytest.mark.skipif("TAILRACE_TEST_MLFLOW" not in os.environ, reason="TAILRACE_TEST_MLFLOW names no command mlflow")
def test_a_real_mlflow_has_every_point_after_a_kill(tmp_path):
    port = free_port()
    place = [
        "--backend-store-uri",
        f"sqlite:///{tmp_path}/mlflow.db",
        "--artifacts-destination",
        f"{tmp_path}/artifacts",
    ]
    command = [
        os.environ["TAILRACE_TEST_MLFLOW"],
        "server",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--workers",
        "1",
        *place,
    ]
    own = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    with open(tmp_path / "mlflow.log", "wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, cwd=tmp_path, env=own)
    try:
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 250
        while time.monotonic() < deadline and server.poll() is None:
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"{url}/health", timeout=5).close()
                break
            threading.Event().wait(0.3)
        uid = new_uid()
        train(KILLED.format(points=5000), tmp_path, uid=uid, backends="mlflow", MLFLOW_TRACKING_URI=url)
        flush_all(tmp_path)
        requests = MLflowRequests(Backend("mlflow", url))
        experiment = requests.get("experiments/get-by-name", experiment_name="melts")["experiment"]["experiment_id"]
        (run,) = requests.post("runs/search", {"experiment_ids": [experiment]})["runs"]
        found = [(int(one.get("step", 0)), one["value"]) for one in requests.history(run["info"]["run_id"], "loss")]
        assert sorted(found) == [(step, 1 / (step + 1)) for step in range(5000)]
    finally:
        server.terminate()
        server.wait(60)
