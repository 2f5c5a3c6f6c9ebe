"""Every CPU gives the same bits: whatever kernels the environment asks for, what a fold comes to is the same."""

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from tailrace.estimators import arithmetic

from server.learning import refolding, registry
from server.learning.fold import architecture
from server.learning.models import Arithmetic, Model, Snapshot
from server.learning.verification import Differs, verify
from server.learning.write_path import learn_points
from server.streams.points import Point
from tests.learning import folds
from tests.serving import ROOT, Server, fresh_database

KERNELS = ("Prescott", "Nehalem", "Sandybridge", "Haswell", "Zen", "SkylakeX")
"""OpenBLAS's, the oldest first. The last needs AVX-512."""

OLD = {"OPENBLAS_CORETYPE": "Prescott", "NPY_DISABLE_CPU_FEATURES": "X86_V3", "OPENBLAS_NUM_THREADS": "2"}
NEW = {"OPENBLAS_CORETYPE": "Zen", "PYTHONHASHSEED": "5"}

x86 = pytest.mark.skipif(arithmetic.architecture() != arithmetic.X86_64, reason="these are kernels of x86-64")

LOADED = """
import json, server, numpy, scipy.linalg, threadpoolctl
from numpy._core._multiarray_umath import __cpu_features__ as features
blas = [(one["architecture"], one["num_threads"]) for one in threadpoolctl.threadpool_info() if one["user_api"] == "blas"]
print(json.dumps([blas, features["X86_V3"], features["X86_V4"]]))
"""


def python(*arguments: str, stdin: str = "", **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, input=stdin, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'client'}", "DJANGO_SETTINGS_MODULE": "server.settings"} | environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@x86
@pytest.mark.one_database
@pytest.mark.parametrize(
    "kernel", [KERNELS[0], *(pytest.param(one, marks=pytest.mark.combinations) for one in KERNELS[1:])]
)
def test_whatever_kernel_is_asked_for_numpy_and_scipy_have_the_one_of_the_architecture(kernel):
    asked = {"OPENBLAS_CORETYPE": kernel, "NPY_DISABLE_CPU_FEATURES": "X86_V3", "OMP_NUM_THREADS": "2"}
    for environment in (asked, {"OPENBLAS_CORETYPE": kernel, "NPY_ENABLE_CPU_FEATURES": "X86_V3"}):
        blas, v3, v4 = json.loads(python("-c", LOADED, **environment))
        assert blas == [["Haswell", 1], ["Haswell", 1]]
        assert v3 and not v4


@x86
@pytest.mark.one_database
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_admitted_estimator_comes_to_the_same_bits_whatever_the_environment_asks_for():
    initial = folds.initial()
    assert len(initial) > 300

    def folded(environment: dict[str, str]) -> Any:
        return json.loads(python("-m", "tests.learning.folds", stdin=json.dumps(initial), **environment))

    with ThreadPoolExecutor() as both:
        old, new = both.map(folded, (OLD, NEW))
    assert [name for name in initial if old[name] != new[name]] == []


@x86
@pytest.mark.postgresql
def test_servers_on_different_cpus_answer_alike_and_read_each_others_snapshots(tmp_path):
    with fresh_database("cpus") as url:
        old, new = (Server(tmp_path / name, url, workers=1, threads=4) for name in ("old", "new"))
        old.environment |= OLD
        new.environment |= NEW
        names = ("bayesian", "runtime")
        try:
            for server in (old, new):
                server.start()
            assert old.post("/api/v1/streams/", {"name": "s", "target": {"name": "t", "unit": "s"}})[0] == 201
            for name in names:
                assert old.post("/api/v1/models/", {"name": name, "stream": "s", "recipe": name})[0] == 201
            for n in range(60):
                server = (old, new)[n % 2]
                point = {"x": {"a": n % 7 + 0.3, "b": n % 5 + 1.1, "c": n / 3}, "y": 1.7 + (n * n) % 23 / 7}
                assert server.post("/api/v1/streams/s/observations/", point)[0] == 201
            said = [answers(server, names) for server in (old, new)]
            assert said[0] == said[1]
            old.stop()  # and writes its snapshots
            new.stop()
            again = Server(tmp_path / "again", url, workers=1, threads=4)
            again.environment |= NEW
            try:
                assert answers(again.start(), names) == said[0]
                done = again.manage("verify_model", *names)
                assert done.returncode == 0, done.stdout + done.stderr
            finally:
                again.stop()
        finally:
            for server in (old, new):
                server.stop()


def answers(server: Server, names: tuple[str, ...]) -> list[Any]:
    body = {"x": {"a": 3.7, "b": 2.2, "c": 11.0}, "level": 0.95}
    found = [server.post(f"/api/v1/models/{name}/predict/", body)[1] for name in names]
    assert all(one["prediction"] > 0 for one in found)
    return [(one["prediction"], one.get("interval"), one["at"]) for one in found]


# A database of another architecture


@pytest.fixture
def model() -> Model:
    made = registry.create("m", None, "regression", recipe_of("bayesian"))
    learn_points.learn(made.stream_id, [Point({"a": n % 7 + 0.3, "b": n % 5}, float(n % 11)) for n in range(60)])
    assert architecture.problem() is None
    return Model.objects.select_related("stream").get(name="m")


def recipe_of(name: str) -> Any:
    from server.learning.recipes import catalog

    return catalog.build(name)[1]


def as_if_logged_by_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """Folds whose predictions are larger by one part in 10¹²."""
    advance = refolding.replay.advance

    def differing(*args: Any, **kwargs: Any) -> Any:
        predictions, skipped = advance(*args, **kwargs)
        return [None if one is None else one * (1 + 1e-12) for one in predictions], skipped

    monkeypatch.setattr(refolding.replay, "advance", differing)


@pytest.mark.django_db(transaction=True)
def test_a_database_is_moved_by_a_refold_that_says_by_how_much_predictions_differ(model, monkeypatch):
    with monkeypatch.context() as patched:
        as_if_logged_by_another(patched)
        with pytest.raises(Differs):
            verify(model)
        found = refolding.refold(model)
    assert (found.compared, found.others) == (60, 0)
    assert found.differ > 50
    assert 1e-13 < found.relative < 1e-11
    assert 0 < found.largest < 1e-9
    model = Model.objects.select_related("stream").get(name="m")
    assert (model.generation, model.compared_after) == (2, 60)
    assert list(Snapshot.objects.values_list("generation", "seq")) == [(2, 60)]
    learn_points.learn(model.stream_id, [Point({"a": 1.0, "b": 2.0}, 3.0)] * 5)
    assert verify(Model.objects.select_related("stream").get(name="m"))["predictions"] == 5


@pytest.mark.django_db(transaction=True)
def test_a_server_of_another_architecture_does_not_fold(model):
    Arithmetic.objects.update(architecture="arm64")
    assert "are folded on arm64" in (architecture.problem() or "")
    assert "manage.py refold" in (architecture.problem() or "")
    architecture.settle()
    assert architecture.problem() is None


@pytest.mark.django_db(transaction=True)
def test_a_move_that_is_interrupted_lets_nobody_fold_until_it_is_done(model, monkeypatch):
    def killed(*args: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(refolding, "refold", killed)
        call_command("refold")
    assert "was interrupted: run it again" in (architecture.problem() or "")
    call_command("refold")
    assert architecture.problem() is None


@pytest.mark.django_db(transaction=True)
def test_a_database_without_models_is_anybodys():
    assert architecture.problem() is None
    Arithmetic.objects.update(architecture="arm64")
    assert architecture.problem() is None


@pytest.mark.django_db(transaction=True)
def test_no_command_folds_on_another_architecture(model, tmp_path):
    Arithmetic.objects.update(architecture="arm64")
    for command in (
        ("verify_model", "m"),
        ("freeze", "m", str(tmp_path / "m")),
        ("retain", "m", "--before=9", "--drop"),
    ):
        with pytest.raises(CommandError, match="are folded on arm64"):
            call_command(*command)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.one_database
def test_by_hand_a_start_is_refused_and_refold_moves_the_database(tmp_path):
    server = Server(tmp_path / "var", workers=1, threads=2).start()
    assert server.post("/api/v1/streams/", {"name": "s", "target": {"name": "y"}})[0] == 201
    assert server.post("/api/v1/models/", {"name": "a", "stream": "s", "recipe": "bayesian"})[0] == 201
    points = [{"x": {"a": n % 7}, "y": n % 5} for n in range(20)]
    assert server.post("/api/v1/streams/s/observations/", {"observations": points})[0] == 201
    refused = server.manage("refold")
    assert refused.returncode == 1 and "stop it first" in refused.stderr
    server.stop()
    with contextlib.closing(sqlite3.connect(server.directory / "tailrace.sqlite3")) as database:
        database.execute("UPDATE learning_arithmetic SET architecture = 'arm64'")
        database.commit()
    with pytest.raises(AssertionError, match="are folded on arm64, and this machine is"):
        server.start()
    done = server.manage("refold")
    assert done.returncode == 0, done.stderr
    assert "a: 20 logged predictions, equal bit for bit" in done.stdout
    try:
        assert server.start().get("/api/v1/models/a/metrics/")[1]["learned"] == 20
    finally:
        server.stop()


@x86
@pytest.mark.one_database
def test_an_older_cpu_is_refused_with_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    cpu = tmp_path / "cpuinfo"
    cpu.write_text("processor\t: 0\nflags\t\t: fpu sse sse2 ssse3 sse4_1 sse4_2 avx xsave\n")
    monkeypatch.setattr(arithmetic, "CPU", cpu)
    from server import config

    with pytest.raises(
        config.ConfigError, match=r"this CPU lacks avx2, bmi1, bmi2, f16c, fma, abm, movbe: .* x86-64-v3"
    ):
        config.load({})
    monkeypatch.setattr(arithmetic, "CPU", tmp_path / "none")
    assert arithmetic.lacking() == []
