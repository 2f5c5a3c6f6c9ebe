"""A mirror into a real ``mlflow server``: nothing twice and nothing lost, whatever is killed, and models that predict the same."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from server.learning.frozen_copies import read
from tests import preloaded
from tests.mirror.mirrored import (
    LONG_NAME,
    Target,
    check_series,
    folder_of_state,
    learn,
    make,
    make_classifier,
    metrics_as_of,
    points,
    tags_of,
)
from tests.mlflow.clients import VERSIONS, MLflowServer, client
from tests.serving import PATIENCE, ROOT, Server, fresh_database

pytestmark = [pytest.mark.slow, pytest.mark.one_database, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with fresh_database("mirror") as database:
        server = Server(tmp_path_factory.mktemp("mirror"), database).start()
        yield server
        server.stop()


@pytest.fixture(scope="module")
def mlflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MLflowServer]:
    running = MLflowServer(tmp_path_factory.mktemp("mlflow")).start()
    yield running
    running.stop()


def mirror(server: Server, mlflow: MLflowServer, *arguments: str, code: int = 0) -> str:
    """Mirror once, and return what the command said."""
    done = server.manage("mirror", *arguments, "--uri", mlflow.url, "--once", "--rate", "0")
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def until(holds: Callable[[], Any], what: str) -> Any:
    """Wait until something holds, and return it."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if found := holds():
            return found
        threading.Event().wait(0.05)
    raise AssertionError(f"waited in vain for {what}")


def following(server: Server, mlflow: MLflowServer, *arguments: str) -> preloaded.Process:
    """Start a mirror that goes on."""
    command = ["manage.py", "mirror", *arguments, "--uri", mlflow.url, "--interval", "0.1"]
    with (server.directory / "mirror.log").open("ab") as log:
        return preloaded.start(command, server.environment, log, log)


def test_killed_midway_it_goes_on_and_nothing_is_there_twice_or_lost(server: Server, mlflow: MLflowServer) -> None:
    make(server, "killed", [("killed-1", "linear"), ("killed-2", "runtime")])
    learn(server, "killed", points(800))
    target = Target(mlflow.url)

    def stored() -> int:
        return sum(len(target.history(run, "MAE")) for run in target.runs("killed", "killed-1"))

    for is_lost in (False, True):  # what the mirror keeps of its position
        had = stored()
        process = following(server, mlflow, "killed", "--rate", "15")
        until(lambda had=had: stored() > had + 50, "points in MLflow")  # type: ignore[misc]
        process.kill()
        process.wait()
        if is_lost:
            shutil.rmtree(folder_of_state(server))
    assert stored() < 800, "it was not killed midway"
    mirror(server, mlflow, "killed")
    for model in ("killed-1", "killed-2"):
        check_series(server, target, target.run("killed", model), model, 800, (1, 2, 99, 700, 800))
    times = [moment for _, _, moment in sorted(target.history(target.run("killed", "killed-1"), "MAE"))]
    _, log = server.get("/api/v1/streams/killed/observations/?after=799&limit=1")
    assert times == sorted(times)
    assert abs(times[-1] / 1000 - datetime.fromisoformat(log["observations"][0]["at"]).timestamp()) < 0.002
    shutil.rmtree(folder_of_state(server))
    mirror(server, mlflow, "killed")
    assert list(target.versions("killed-1")) == ["1"]
    assert stored() == 800


def test_it_waits_for_a_target_that_is_down_and_goes_on(server: Server, mlflow: MLflowServer) -> None:
    make(server, "down", [("down", "linear")])
    learn(server, "down", points(20))
    target = Target(mlflow.url)
    process = following(server, mlflow, "down")
    log = server.directory / "mirror.log"
    try:
        until(lambda: target.runs("down", "down") and target.versions("down"), "a version")
        mlflow.stop()
        learn(server, "down", points(30, 2))
        until(lambda: "trying again" in log.read_text(), "word of the target")
        said = mirror(server, mlflow, "down", "--prefix", "other-", "--patience", "0", code=1)
        assert f"127.0.0.1:{mlflow.port}" in said
        assert "Run it again to continue" in said
        mlflow.start()
        until(lambda: len(target.history(target.run("down", "down"), "MAE")) == 50, "the rest of the points")
        assert "mirrors into" in mirror(server, mlflow, "down", code=1)
    finally:
        process.terminate()
        assert process.wait(PATIENCE) == 0
    assert "it goes on" in log.read_text()
    check_series(server, target, target.run("down", "down"), "down", 50, (1, 20, 21, 50))


def test_a_retraction_makes_versions_stale_and_another_run(server: Server, mlflow: MLflowServer) -> None:
    make(server, "wrong", [("wrong", "runtime")])
    learn(server, "wrong", points(50))
    target = Target(mlflow.url)
    mirror(server, mlflow, "wrong", "--snapshot-every", "20")
    before = target.versions("wrong")
    assert [tags["tailrace.at"] for tags in before.values()] == ["20", "40", "50"]
    assert target.live("wrong") == "3"
    old = target.run("wrong", "wrong")
    status, _ = server.post("/api/v1/streams/wrong/observations/30/retract/", {"reason": "the clock\nwas wrong"})
    assert status == 202
    until(lambda: server.get("/api/v1/models/wrong/")[1]["generation"] == 2, "the rebuilt model")
    mirror(server, mlflow, "wrong", "--snapshot-every", "20")
    after = target.versions("wrong")
    assert [tags["tailrace.at"] for tags in after.values()] == ["20", "40", "50", "20", "40", "50"]
    stale = [number for number, tags in after.items() if "tailrace.stale" in tags]
    assert stale == ["2", "3"]
    assert after["3"]["tailrace.stale"] == "observation 30 was retracted (the clock was wrong)"
    assert target.live("wrong") == "6"
    assert after["6"]["tailrace.n"] == "49"
    first, second = target.runs("wrong", "wrong")
    assert first["info"]["run_id"] == old["info"]["run_id"]
    assert first["info"]["status"] == "FINISHED"
    assert second["info"]["run_id"] in tags_of(first["data"])["tailrace.superseded"]
    check_series(server, target, second, "wrong", 50, (29, 30, 31, 50))
    done = server.manage("verify_version", "models:/wrong/1", "models:/wrong@live", "--uri", mlflow.url)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("equal bit for bit") == 2
    done = server.manage("verify_version", "models:/wrong/3", "--uri", mlflow.url)
    assert done.returncode == 1
    assert "equal bit for bit" in done.stdout
    assert "STALE: observation 30 was retracted" in done.stdout


PREDICT = """
import json, sys, warnings
import mlflow, pandas
mlflow.set_tracking_uri(sys.argv[1])
asked, found = json.load(sys.stdin), {}
warnings.filterwarnings("error", message=".*predictions may differ")
for name in asked["names"]:
    model = mlflow.pyfunc.load_model(f"models:/{name}@live")
    found[name] = model.predict(asked["xs"])
    assert found[name] == model.predict(pandas.DataFrame(asked["xs"])), name
    assert found[name][:1] == model.predict(asked["xs"][0]), name
    try:
        model.predict([[1, 2]])
    except ValueError as error:
        assert "expected a DataFrame" in str(error), error
print(json.dumps({"version": mlflow.__version__, "found": found}))
"""


@pytest.fixture(scope="module")
def several(server: Server, mlflow: MLflowServer) -> list[str]:
    """The names of models of several kinds that are mirrored."""
    make(server, "kinds", [(LONG_NAME, "runtime"), ("kinds-linear", "linear")])
    learn(server, "kinds", points(120))
    for flavor in ("binary", "multiclass"):
        make_classifier(server, flavor)
    mirror(server, mlflow, "kinds", "binary", "multiclass", "--every", "7")
    return [LONG_NAME, "kinds-linear", "binary", "multiclass"]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_mirrored_model_predicts_in_pyfunc_what_the_server_predicts(
    server: Server, mlflow: MLflowServer, several: list[str], version: str
) -> None:
    xs = [one["x"] for one in points(25, 9)]
    own = {}
    names = several if version == VERSIONS[-1] else several[:1]
    for name in names:
        answers = [server.post(f"/api/v1/models/{name}/predict/", {"x": x}) for x in xs]
        assert {status for status, _ in answers} == {200}
        own[name] = [answer["prediction"] for _, answer in answers]
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("OPENBLAS", "NPY_", "OMP_"))}
    environ |= {"PYTHONPATH": str(ROOT / "client"), "MLFLOW_DISABLE_TELEMETRY": "true"}
    done = subprocess.run(
        [client(version), "-c", PREDICT, mlflow.url], input=json.dumps({"names": names, "xs": xs}), env=environ,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["version"].startswith(version)
    assert told["found"] == own


def test_metrics_of_classifiers_and_of_every_seventh_observation(
    server: Server, mlflow: MLflowServer, several: list[str]
) -> None:
    target = Target(mlflow.url)
    for name in ("binary", "multiclass"):
        run = target.run(name, name)
        expected = metrics_as_of(server, name, 56)
        assert {one["key"] for one in run["data"]["metrics"]} == set(expected)
        for key, value in expected.items():
            assert [(step, found) for step, found, _ in target.history(run, key)][-1] == (56, value), key
        assert [step for step, _, _ in target.history(run, "Accuracy")] == list(range(7, 57, 7))


@pytest.fixture
def folder(server: Server, mlflow: MLflowServer, several: list[str], tmp_path: Path) -> Path:
    """A version as MLflow has stored it."""
    run = Target(mlflow.url).run("kinds", LONG_NAME)
    stored = mlflow.folder / "artifacts" / run["info"]["experiment_id"] / run["info"]["run_id"] / "artifacts"
    return Path(shutil.copytree(stored / "model-120", tmp_path / "version"))


def test_a_version_says_what_is_missing_and_refuses_what_was_changed(server: Server, folder: Path) -> None:
    loading = f"import sys; sys.path.insert(0, {str(folder / 'code')!r}); import tailrace_pyfunc; " + (
        f"print(tailrace_pyfunc._load_pyfunc({str(folder / 'data')!r}).predict({points(1)[0]['x']!r}))"
    )

    def load(**environ: str) -> str:
        plain = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        done = subprocess.run(
            [sys.executable, "-c", loading],
            env=plain | environ,
            capture_output=True,
            text=True,
            check=False,
            cwd=folder,
        )
        return done.stdout + done.stderr

    _, answer = server.post(f"/api/v1/models/{LONG_NAME}/predict/", {"x": points(1)[0]["x"]})
    assert load().strip() == f"[{answer['prediction']!r}]"
    bare = getattr(sys, "_base_executable", sys.executable)
    said = load(TAILRACE_PYTHON=bare)
    assert "is not installed for" in said
    assert "pip install 'tailrace==" in said
    state = folder / "data" / "model.tailrace"
    whole = state.read_bytes()
    state.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert "is truncated or changed" in load()
    header, _, rest = whole.partition(b"\n")
    evil = b"cos\nsystem\n(S'touch evil'\ntR."
    told = json.loads(header)
    told["parts"] = [["state", len(evil), hashlib.sha256(evil).hexdigest()]]
    state.write_bytes(json.dumps(told).encode() + b"\n" + evil)
    assert "os.system" in load()
    assert not (folder / "evil").exists()
    assert rest


def test_verification_finds_a_changed_state_and_another_log(server: Server, folder: Path) -> None:
    def verify() -> tuple[int, str]:
        done = server.manage("verify_version", str(folder))
        return done.returncode, done.stdout + done.stderr

    code, said = verify()
    assert (code, said.count("equal bit for bit")) == (0, 1), said
    frozen = read(folder / "data" / "model.tailrace")
    at = frozen.state.index(b"G")  # the opcode of a float
    changed = frozen.state[: at + 8] + bytes([frozen.state[at + 8] ^ 1]) + frozen.state[at + 9 :]
    (folder / "data" / "model.tailrace").write_bytes(replace(frozen, state=changed).to_bytes())
    code, said = verify()
    assert code == 1
    assert "DIFFERS: its state has 'float" in said
    about = json.loads((folder / "data" / "tailrace.json").read_text())
    (folder / "data" / "tailrace.json").write_text(json.dumps(about | {"fingerprint": "00"}))
    code, said = verify()
    assert code == 1
    assert "the fingerprint of the log differs" in said


def test_a_name_that_is_taken_is_refused_and_the_rest_is_mirrored(server: Server, mlflow: MLflowServer) -> None:
    make(server, "taken", [("taken-1", "linear"), ("taken-2", "linear")])
    learn(server, "taken", points(10))
    target = Target(mlflow.url)
    target.ask("registered-models/create", {"name": "taken-1"})
    said = mirror(server, mlflow, "taken", code=1)
    assert "has a registered model taken-1 already that is not a mirror of this model" in said
    assert "--prefix" in said
    assert list(target.versions("taken-1")) == []
    assert list(target.versions("taken-2")) == ["1"]
    mirror(server, mlflow, "taken", "--prefix", "site.")
    assert list(target.versions("site.taken-1")) == ["1"]
    assert len(target.history(target.run("site.taken", "taken-1"), "MAE")) == 10
