"""No call of a run raises an error, whatever it is given and whatever the disk does; what can be kept is kept exactly."""

import json
import math
import os
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
from tailrace.errors import Unusable
from tailrace.tracking import ExperimentConfig, ExperimentTracker, NeuralOperatorMetrics
from tailrace.tracking.senders.mlflow_requests import mlflow_name

from tests.client.running import NOBODY
from tests.client.trainings import files, train

pytestmark = [pytest.mark.one_database, pytest.mark.filterwarnings("ignore::tailrace.tracking.warning.TrackingWarning")]


@pytest.fixture
def tracker(tmp_path, monkeypatch):
    monkeypatch.setenv("TAILRACE_TRACKING_HANDOVER", "0")
    return ExperimentTracker.create("tailrace", ExperimentConfig(name="melts"), url=NOBODY, spool=tmp_path)


def lines(path, kind=None):
    found = [json.loads(line) for line in path.read_bytes().splitlines()][1:]
    return [one for one in found if kind in (None, one["kind"])]


def metrics(tmp_path):
    (path,) = files(tmp_path)
    return [(one["step"], one["values"]) for one in lines(path, "metrics")]


def test_values_are_kept_exactly(tracker, tmp_path):
    class Tensor:
        def __float__(self):
            return 0.25

    with tracker.start_run() as run:
        tracker.log_metrics({"a": 0.1, "b": 7, "c": True}, step=3)
        tracker.log_metrics({"a": math.nan, "b": math.inf, "c": -math.inf}, step=2)
        tracker.log_metrics(
            {"a": np.float32(0.5), "b": np.int64(3), "c": np.array([1.5]), "d": Tensor()}, step=np.int32(1)
        )
        tracker.log_metrics({"a": 5e-324, "b": 1.7976931348623157e308, "c": -0.0}, step=-4)
    found = metrics(tmp_path)
    assert found == [
        (3, {"a": 0.1, "b": 7, "c": 1.0}),
        (2, {"a": "NaN", "b": "Infinity", "c": "-Infinity"}),
        (1, {"a": 0.5, "b": 3.0, "c": 1.5, "d": 0.25}),
        (-4, {"a": 5e-324, "b": 1.7976931348623157e308, "c": -0.0}),
    ]
    assert math.copysign(1, found[3][1]["c"]) == -1
    assert run.status().unusable == 0


def test_what_is_no_number_is_noted_and_the_rest_is_kept(tracker, tmp_path):
    class Broken:
        def __float__(self):
            raise RuntimeError("the device is gone")

        def __str__(self):
            raise RuntimeError("not even this")

    with tracker.start_run() as run:
        tracker.log_metrics(
            {"good": 1.0, "text": "0.5", "none": None, "many": [1, 2], "huge": 10**400, "broken": Broken()}
        )
        tracker.log_metrics("nonsense")
        tracker.log_metrics(None)
        tracker.log_metrics({"good": 2.0}, step="three")
        tracker.log_metrics({"good": 3.0}, step=2**70)
        tracker.log_params(7)
        tracker.log_params({"p": Broken(), "q": {"nested": [1, Broken]}})
        tracker.set_tags({"t": "\ud800\0"})
        tracker.log_physics_metrics({"loss": object(), "kept": 2.0})
        tracker.log_artifact("/no/such/file")
        tracker.log_artifact(tmp_path, "../../etc")
        tracker.log_model(lambda: None, "model")
        tracker.link(model="m", at="soon")
    assert metrics(tmp_path) == [(0, {"good": 1.0})]
    status = run.status()
    assert status.unusable >= 12
    assert any("text" in why and "'0.5' is not a number" in why for why in status.reasons)
    assert "/no/such/file" in str(status)


def test_warnings_that_are_errors_do_not_end_a_training(tracker):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with tracker.start_run() as run:
            tracker.log_metrics({"a": "x"})
    assert run.status().unusable == 1


def test_names_of_any_characters_and_lengths_stay_apart(tracker, tmp_path):
    long = ["k" * 300, "k" * 299 + "j"]
    odd = ['a"b\\', "line\nbreak", "é/ü", "", " ", "a[0]", "a(0)", "../up", "a//b", "tab\t", "\ud83d", "nul\0"]
    with tracker.start_run() as run:
        for _ in range(2):
            tracker.log_metrics(dict.fromkeys([*long, *odd], 1.0), step=1)
    (path,) = files(tmp_path)
    first, second = (set(one["values"]) for one in lines(path, "metrics"))
    assert first == second
    assert len(first) == len(long) + len(odd)
    assert all(0 < len(name) <= 250 for name in first)
    explained = {key: value for one in lines(path, "tags") for key, value in one["values"].items()}
    assert long[0] in explained.values()
    assert run.status().unusable == 0
    shown = [mlflow_name(name) for name in first]
    assert len(set(shown)) == len(first)
    assert all(0 < len(name) <= 250 for name in shown)


def test_steps_come_from_the_metrics_or_are_counted(tracker, tmp_path):
    with tracker.start_run():
        tracker.log_metrics({"epoch": 7, "loss": 0.5})
        tracker.log_metrics({"loss": 0.4})
        tracker.log_metrics({"loss": 0.3})
        tracker.log_metrics({"loss": 0.2}, step=1)
    assert [step for step, _ in metrics(tmp_path)] == [7, 0, 1, 1]


def test_many_metrics_in_one_call_become_several_lines(tracker, tmp_path):
    with tracker.start_run():
        tracker.log_metrics({f"m{number}": float(number) for number in range(2500)}, step=1)
    assert [len(values) for _, values in metrics(tmp_path)] == [1000, 1000, 500]


def test_threads_share_a_run(tracker, tmp_path):
    with tracker.start_run() as run:
        threads = [
            threading.Thread(target=lambda n=n: [run.log_metrics({f"t{n}": 1.0}, step=i) for i in range(500)])
            for n in range(4)
        ]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
    found = metrics(tmp_path)
    for n in range(4):
        assert [step for step, values in found if f"t{n}" in values] == list(range(500))


def test_nested_runs_know_their_parent_and_end_in_any_order(tracker, tmp_path):
    outer = tracker.start_run("outer")
    inner = tracker.start_run("inner")
    tracker.log_metrics({"x": 1.0})
    outer.end()
    tracker.log_metrics({"y": 1.0})
    tracker.end_run("FAILED")
    headers = {header["uid"]: header for header in (json.loads(path.open().readline()) for path in files(tmp_path))}
    assert headers[inner.id]["parent"] == outer.id
    assert headers[outer.id]["parent"] == ""
    statuses = {path.parent.name: lines(path, "status")[-1]["status"] for path in files(tmp_path)}
    assert statuses == {outer.id: "FINISHED", inner.id: "FAILED"}


def test_a_run_ends_as_its_training_did(tracker, tmp_path):
    for error in (ValueError, KeyboardInterrupt):
        with pytest.raises(error), tracker.start_run():
            raise error
    done = train(
        "tracker.start_run(); tracker.log_metrics({'a': 1.0}); raise SystemExit", tmp_path, TAILRACE_URL=NOBODY
    )
    assert (done.returncode, done.stderr) == (0, "")
    failed = train("tracker.start_run(); 1 / 0", tmp_path, TAILRACE_URL=NOBODY)
    assert failed.returncode == 1
    found = sorted(lines(path, "status")[-1]["status"] for path in files(tmp_path))
    assert found == ["FAILED", "FAILED", "FINISHED", "KILLED"]


def test_no_secret_is_written_to_disk(tmp_path, monkeypatch):
    monkeypatch.setenv("TAILRACE_TRACKING_HANDOVER", "0")
    secrets = {"token": "very-secret-token", "mlflow_token": "other-secret"}
    tracker = ExperimentTracker.create(
        ["tailrace", "mlflow"],
        ExperimentConfig(name="melts"),
        url=NOBODY,
        tracking_uri=NOBODY,
        spool=tmp_path,
        **secrets,
    )
    with tracker.start_run():
        tracker.log_metrics({"a": 1.0})
    (path,) = files(tmp_path)
    for one in path.parent.iterdir():
        assert not any(secret in one.read_text() for secret in secrets.values())
    assert path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    "given, said",
    [
        ({"backend": "neptune"}, r"ended in March 2026.*tailrace import-runs \.neptune"),
        ({"backend": "mlfow"}, r"no back end 'mlfow'.*mlflow"),
        ({"backend": []}, "backend is empty"),
        ({"backend": "mlflow", "tracking_uri": "file:///tmp/mlruns"}, "mlflow server --backend-store-uri"),
        ({"backend": "tailrace", "trackin_uri": "http://x"}, "no option trackin_uri.*tracking_uri"),
        ({"backend": "tailrace", "url": "ftp://x"}, "not a server's address"),
        ({"backend": "tailrace", "token": 7}, "token is a value of type int"),
        ({"backend": "tailrace", "wait": -1}, "wait is -1"),
        ({"config": None}, "config is None"),
        ({"config": {"name": "x"}}, "expected an ExperimentConfig"),
    ],
)
def test_what_cannot_work_is_refused_before_the_training(given, said, tmp_path):
    with pytest.raises(Unusable, match=f"(?s){said}"):
        ExperimentTracker.create(**{"config": ExperimentConfig(name="melts"), "spool": tmp_path, **given})


def test_a_missing_library_of_wandb_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"tailrace\[wandb\]"):
        ExperimentTracker.create("wandb", ExperimentConfig(name="melts"), spool=tmp_path)


@pytest.mark.parametrize("run_id", ["x", "F" * 32, "0" * 31, "../../../../../../../../../../etc"])
def test_an_identifier_must_be_one(tracker, run_id):
    with pytest.raises(Unusable, match="32 digits"):
        tracker.start_run(run_id=run_id)


def test_the_ranks_of_a_job_share_a_run(tracker, monkeypatch):
    with pytest.raises(Unusable, match="SLURM_JOB_ID"):
        tracker.start_run(shared=True)
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    monkeypatch.setenv("SLURM_PROCID", "3")
    monkeypatch.setenv("SLURM_NTASKS", "256")
    one = tracker.start_run(shared=True)
    one.end()
    other = tracker.start_run(shared=True)
    other.end()
    assert one.id == other.id
    header = json.loads(files_of(tracker, one)[0].open().readline())
    assert (header["rank"], header["ranks"]) == (3, 256)
    assert not any("status" in line for path in files_of(tracker, one) for line in path.read_text().splitlines()[1:])


def files_of(tracker, run):

    return sorted(Path(tracker._spool, run.id).glob("*.lines"))


# --- the disk ---


def test_a_spool_that_cannot_be_written_keeps_lines_in_memory(tmp_path, monkeypatch):
    monkeypatch.setenv("TAILRACE_TRACKING_HANDOVER", "0")
    (tmp_path / "file").write_text("not a directory")
    tracker = ExperimentTracker.create("tailrace", ExperimentConfig(name="melts"), url=NOBODY, spool=tmp_path / "file")
    with tracker.start_run() as run:
        for step in range(100):
            tracker.log_metrics({"loss": 1.0}, step=step)
        tracker.log_artifact(__file__)
    status = run.status()
    assert "can't be written" in status.trouble
    assert (status["tailrace"].kept, status.dropped) == (status.logged, 0)


FULL = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, resource.RLIM_INFINITY))
run = tracker.start_run(run_id=uid)
for step in range(300):
    tracker.log_metrics({"loss": 1.0}, step=step)
run._writer._file.write_pending()
assert run.status().trouble, run.status()
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
run._writer._file._retry_at = 0
run._writer._file.write_pending()
for step in range(300, 400):
    tracker.log_metrics({"loss": 1.0}, step=step)
assert not run.status().trouble, run.status()
os._exit(0)
"""


def test_a_disk_that_was_full_gets_every_line_once_there_is_space(tmp_path):
    done = train(FULL, tmp_path, TAILRACE_URL=NOBODY)
    assert (done.returncode, done.stderr) == (0, "")
    assert [step for step, _ in metrics(tmp_path)] == list(range(400))


def test_a_slow_disk_delays_three_calls(tracker, tmp_path, monkeypatch):
    """The writes that show it take their time; the others go to memory, and a thread writes them."""
    run = tracker.start_run()
    file, write, release, calls = run._writer._file, os.write, threading.Event(), []

    def slow(descriptor, data):
        if descriptor == file._descriptor:
            calls.append(threading.current_thread())
            if len(calls) <= 3:
                threading.Event().wait(0.06)
            else:
                release.wait(20)
        return write(descriptor, data)

    monkeypatch.setattr(os, "write", slow)
    for step in range(200):
        tracker.log_metrics({"loss": 1.0}, step=step)
    assert calls.count(threading.current_thread()) == 3
    release.set()
    monkeypatch.undo()
    file._retry_at = 0
    while file._pending:
        file.write_pending()
    run.end()
    assert [step for step, _ in metrics(tmp_path)] == list(range(200))


def test_a_large_artifact_is_not_copied_and_a_changed_one_is_refused(tracker, tmp_path):
    from tailrace.tracking.files import ArtifactLost, sha256_of

    large = tmp_path / "large.bin"
    large.write_bytes(os.urandom(300_000))
    with tracker.start_run():
        tracker.log_artifact(large, "data")
        large.rename(tmp_path / "moved.bin")
        large.write_bytes(b"the next one")
        tracker.log_artifact(large, "data")
    (path,) = files(tmp_path)
    first, second = lines(path, "artifact")
    assert (first["path"], first["size"]) == ("data/large.bin", 300_000)
    assert len(sha256_of(first["source"], first["size"], first["changed_ns"])) == 64  # replaced, not changed
    assert Path(second["source"]).read_text() == "the next one"
    with open(first["source"], "r+b") as file:
        file.write(b"changed in place")
    with pytest.raises(ArtifactLost, match="changed"):
        sha256_of(first["source"], first["size"], first["changed_ns"])


def test_models_are_written_as_what_they_are(tracker, tmp_path):
    with tracker.start_run():
        tracker.log_model({"w": np.ones(3)}, "arrays")
        tracker.log_model(b"raw", "bytes")
        tracker.log_model({"any": ["thing"]}, "pickled", note="kept")
        tracker.log_physics_metrics(NeuralOperatorMetrics(modes=4))
    (path,) = files(tmp_path)
    found = {one["path"]: one["source"] for one in lines(path, "artifact")}
    assert set(found) == {
        "models/arrays/model.npz", "models/arrays/model.json", "models/bytes/model.bin", "models/bytes/model.json",
        "models/pickled/model.pkl", "models/pickled/model.json",
    }  # fmt: skip
    assert np.load(found["models/arrays/model.npz"])["w"].tolist() == [1, 1, 1]
    assert json.loads(Path(found["models/pickled/model.json"]).read_text())["note"] == "kept"
