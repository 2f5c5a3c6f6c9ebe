"""Runs that Neptune, W&B and MLflow really kept on disk (tests/fixtures/tracking) become runs here, each point once."""

import json
import math
import os
import shutil

import pytest
from tailrace.tracking.importers.find import find_runs
from tailrace.tracking.importers.imported import Unreadable

from tests.client.append_only_mlflow import append_only_mlflow
from tests.client.running import NOBODY, command
from tests.serving import ROOT

pytestmark = pytest.mark.one_database

KEPT = ROOT / "tests" / "fixtures" / "tracking"


def only(path):
    ((tool, run),) = find_runs(str(path))
    return tool, run


def points(run, key):
    return [(step, value) for name, step, _, value in run.points if name == key]


def test_neptune():
    tool, run = only(KEPT / "neptune")
    assert (tool, run.name, run.status) == ("neptune", "second", "FINISHED")
    assert points(run, "train/loss") == [(2 * i, 1 / (i + 1)) for i in range(20)]
    assert points(run, "unstepped") == [(0, 0.0), (1, 1.0), (2, 2.0)]
    assert points(run, "final") == [(0, 0.5)]
    assert (run.params["parameters/lr"], run.params["parameters/net/width"], run.params["flag"]) == (0.1, 8, True)
    assert run.tags["t1"] == run.tags["t2"] == "true"
    assert run.texts["logs/log/text.txt"] == "hello\nworld\n"
    ((path, source),) = run.artifacts
    assert path == "files/near.txt"
    assert open(source).read() == "kept beside"  # noqa: SIM115
    assert any("files/far" in why and "note.txt" in why for why in run.left_out)
    assert any("half" in why and "rounded" in why for why in run.left_out)
    assert 0 < run.started_ms <= run.ended_ms


def test_wandb():
    tool, run = only(KEPT / "wandb")
    assert (tool, run.name, run.experiment, run.status) == ("wandb", "first", "melts", "FINISHED")
    assert points(run, "loss") == [*((2 * i, 1 / (i + 1)) for i in range(20)), (52, 0.01)]
    odd = points(run, "odd")
    assert math.isnan(odd[3][1])
    assert odd[4] == (8, -math.inf)
    assert points(run, "best") == [(52, 0.5)]
    assert (run.params["lr"], run.params["net.width"], run.tags["pde"]) == (0.1, 8, "true")
    assert run.tags["mlflow.note.content"] == "a note"
    assert {path for path, _ in run.artifacts} == {"wandb/requirements.txt"}
    assert len(run.left_out) == 2  # the texts


def test_mlruns():
    tool, run = only(KEPT / "mlruns")
    assert (tool, run.name, run.experiment, run.user, run.status) == ("mlruns", "third", "melts", "someone", "FINISHED")
    assert points(run, "train/loss") == [(i, 1 / (i + 1)) for i in range(5)]
    odd = points(run, "odd")
    assert math.isnan(odd[0][1])
    assert odd[1] == (2, -math.inf)
    assert (run.params, run.tags["t"]) == ({"lr": "0.1", "a/b": "x"}, "multi\nline")
    assert [path for path, _ in run.artifacts] == ["sub/f.txt"]


def test_a_project_with_all_of_them_is_imported_once(tmp_path, monkeypatch):
    project = tmp_path / "project"
    for name, place in {"neptune": ".neptune", "wandb": "wandb", "mlruns": "mlruns"}.items():
        shutil.copytree(KEPT / name, project / place)
    given = ["--backend", "mlflow", "--experiment", "old", "--spool", str(tmp_path / "spool"), "--json"]
    with append_only_mlflow() as store:
        for _ in range(2):
            done = command("import-runs", str(project), *given, "--tracking-uri", store.url)
            assert done.returncode == 0, done.stderr
            assert [json.loads(line)["tool"] for line in done.stdout.splitlines()] == ["neptune", "wandb", "mlruns"]
        assert len(store.runs) == 3
        assert list(store.experiments) == ["old"]
        counts = sorted(sum(one["key"].endswith("loss") for one in run["metrics"]) for run in store.runs.values())
        assert counts == [5, 20, 21]
        assert sorted(path.rpartition("artifacts/")[2] for path in store.artifacts) == [
            "files/near.txt", "logs/log/text.txt", "sub/f.txt", "wandb/requirements.txt",
        ]  # fmt: skip


def test_what_cannot_be_sent_waits_in_the_spool(tmp_path):
    done = command("import-runs", str(KEPT / "mlruns"), "--url", NOBODY, "--spool", str(tmp_path))
    assert done.returncode == 1
    assert "waits in the spool" in done.stdout
    assert "connection refused" in done.stderr
    assert len(list((tmp_path / "tracking").glob("*/import-*.lines"))) == 1


@pytest.mark.parametrize("given", [["/no/such/place"], [str(ROOT / "docs")], []])
def test_a_path_without_runs_is_an_error(given):
    assert command("import-runs", *given).returncode == 2


def test_hostile_stores_give_nothing_of_the_rest_of_the_machine(tmp_path):
    store = shutil.copytree(KEPT / "mlruns", tmp_path / "mlruns")
    (run,) = store.glob("*/f328*")
    secret = tmp_path / "secret"
    secret.write_text("secret")
    (run / "artifacts" / "link").symlink_to(secret)
    (run / "params" / "stolen").symlink_to(secret)
    (run / "metrics" / "torn").write_text(
        "12 nonsense\n17 0.5 3\n99999999999999999999999999 1 99999999999999999999999\n"
    )
    _, found = only(store)
    assert "secret" not in json.dumps([found.params, found.artifacts])
    assert points(found, "torn")[0] == (3, 0.5)
    assert any("link" in why for why in found.left_out)
    neptune = shutil.copytree(KEPT / "neptune", tmp_path / "neptune")
    (log,) = neptune.glob("offline/*/data-1.log")
    lines = [
        {"obj": {"type": "UploadFile", "path": ["stolen"], "ext": "", "file_path": str(secret)}, "at": 1.0},
        {"obj": {"type": "UploadFile", "path": ["up"], "ext": "", "tmp_file_name": "../../../../../secret"}, "at": 1.0},
        {"obj": {"type": "UploadFile", "path": ["..", "..", "x"], "ext": "", "tmp_file_name": "y"}, "at": 1.0},
        {"obj": {"type": "LogFloats", "path": ["big"], "values": [{"value": 1, "step": 1e300, "ts": 1e300}]}},
        [1], "x", {"obj": None}, {"obj": {"type": "AssignFloat", "path": 7, "value": 1}},
    ]  # fmt: skip
    with open(log, "a") as file:
        file.write("".join(json.dumps(line) + "\n" for line in lines) + '{"obj": {"ty')
    _, found = only(neptune)
    assert [path for path, _ in found.artifacts] == ["files/near.txt"]
    done = command("import-runs", str(neptune), "--list", "--json")
    assert done.returncode == 0, done.stderr


def test_torn_and_foreign_files_of_wandb(tmp_path):
    (log,) = (KEPT / "wandb").glob("*/run-*.wandb")
    content = log.read_bytes()
    place = tmp_path / "run-torn.wandb"
    for size in (8, 100, 3000, 40_000, len(content) - 3):
        place.write_bytes(content[:size])
        _, found = only(place)
        assert len(found.points) <= 62
    damaged = bytearray(content)
    damaged[2000] ^= 1
    place.write_bytes(damaged)
    _, found = only(place)
    assert found.status == "KILLED"
    for foreign in (b"", b"\0" * 100, os.urandom(5000)):
        place.write_bytes(foreign)
        with pytest.raises(Unreadable, match="not a file of W&B"):
            only(place)


def test_no_directory_is_entered_and_no_log_read_through_a_link(tmp_path):
    """What others give away may have links in the place of any directory or file of it."""
    secret = tmp_path / "home"
    secret.mkdir()
    (secret / "key").write_text("secret")
    for name in ("neptune", "wandb", "mlruns"):
        shutil.copytree(KEPT / name, tmp_path / name)
    (run,) = (tmp_path / "mlruns").glob("*/f328*")
    meta = run / "meta.yaml"
    for name in ("artifacts", "params", "tags"):
        shutil.rmtree(meta.parent / name, ignore_errors=True)
        (meta.parent / name).symlink_to(secret)
    (found,) = (run for _, run in find_runs(str(tmp_path / "mlruns")))
    assert (found.artifacts, found.params, found.tags) == ([], {}, {})
    assert any("artifacts: it is a link" in why for why in found.left_out)
    (log,) = (tmp_path / "wandb").glob("**/run-*.wandb")
    shutil.rmtree(log.parent / "files")
    (log.parent / "files").symlink_to(secret)
    (found,) = (run for _, run in find_runs(str(tmp_path / "wandb")))
    assert found.artifacts == []
    os.mkfifo(meta.parent / "metrics" / "pipe")  # nobody writes to it: to open it would take forever
    assert len(list(find_runs(str(tmp_path / "mlruns")))) == 1
    for kept in (meta, meta.parent.parent / "meta.yaml", log, next((tmp_path / "neptune").glob("**/data-*.log"))):
        aside = tmp_path / "aside"
        kept.rename(aside)
        kept.symlink_to(aside)
        place = next(tmp_path / name for name in ("neptune", "wandb", "mlruns") if tmp_path / name in kept.parents)
        assert list(find_runs(str(place))) == []
        kept.unlink()
        aside.rename(kept)
