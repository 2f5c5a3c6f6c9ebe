"""Sweeps as a user runs them: real LAMMPS and a real server, stopped on the way."""

import json
import os
import re
import signal
from pathlib import Path

import pytest
from matplotlib import pyplot

from lammps_jobs.runs.lammps_job import POTENTIAL, potentials
from tests.lammps_jobs.here import PATIENCE, TINY, Here, made, model_of
from tests.serving import ROOT, Server
from tests.slurm import INSTALL, until

pytestmark = [pytest.mark.one_database, pytest.mark.xdist_group("sweep")]


def test_every_job_is_learned_once_whatever_stops_the_sweep(here):
    options = ("train", *TINY, "--processes", "1,2", "--iters", "6")
    said = here.sweep(*options, code=2)
    assert f"there is no stream '{here.stream}'" in said
    assert "--recipes" in said
    process = here.start(*options, "--recipes", "runtime,linear")
    for line in process.stdout:
        if line.lstrip().startswith("2/6"):
            break
    process.kill()
    process.communicate()
    process = here.start(*options)
    for line in process.stdout:
        if line.lstrip().startswith("4/6"):
            break
    process.send_signal(signal.SIGTERM)
    rest, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert "Finished jobs are kept" in rest
    assert "6 jobs: 6 counted, 0 failed" in here.sweep(*options)
    assert "6 were done before" in here.sweep(*options)
    observations = here.observations()
    assert sorted(one["y"] for one in observations) == sorted(here.loop_times())
    assert sorted(one["source"]["job"] for one in observations) == [f"train-{n:03d}" for n in range(1, 7)]
    assert {one["x"]["processes"] for one in observations} == {1, 2}
    assert all(set(one["x"]) == {"x", "y", "z", "processes"} for one in observations)
    models = here.server.get(f"/api/v1/models/?stream={here.stream}")[1]["models"]
    assert {model["recipe"] for model in models} == {"runtime", "linear"}
    for wrong, words in ((("--seed", "2"), "started with seed 1, not seed 2"), (("--iters", "5"), "can't have fewer")):
        assert words in here.sweep(*options, *wrong, code=2)
    assert "8 jobs: 8 counted" in here.sweep(*options, "--iters", "8")
    assert len(here.observations()) == 8


def test_a_recipe_makes_a_model_of_this_stream_whatever_others_have(here):
    """Models are named after their recipes, until the name is another stream's."""
    for stream in ("first", "second", "second"):
        there = Here(here.path, here.server, stream)
        there.sweep("train", *TINY, "--iters", "1", "--recipes", "mean", "--directory", stream)
    for stream, name in (("first", "mean"), ("second", "mean-second")):
        models = here.server.get(f"/api/v1/models/?stream={stream}")[1]["models"]
        assert [(model["name"], model["recipe"]) for model in models] == [(name, "mean")]


def test_steps_are_a_feature_where_they_vary(here):
    made(here)
    here.sweep("train", "--x", "1", "--y", "1", "--z", "1", "--steps", "10,20", "--sample", "grid")
    assert [one["x"]["steps"] for one in here.observations()] == [10, 20]


def test_predict_mode_asks_first_learns_nothing_and_reports_by_model_and_recipe(here):
    name = made(here, "the-best")
    model_of(here.stream, here.server, "another", "linear")
    for n in range(1, 9):
        body = {"x": {"x": n, "y": 1, "z": 1, "processes": 1}, "y": 0.01 * n}
        assert here.server.post(f"/api/v1/streams/{here.stream}/observations/", body)[0] == 201
    said = here.sweep("predict", *TINY, "--sample", "lhs", "--iters", "4")
    assert len(here.observations()) == 8
    report = json.loads((here.path / "sweep-predict" / "report.json").read_text())
    assert {(model["name"], model["recipe"]) for model in report["models"]} == {
        ("the-best", "runtime"), ("another", "linear"),
    }  # fmt: skip
    actual = [job["actual"] for job in report["jobs"]]
    assert actual == here.loop_times("sweep-predict")
    assert all(answer["at"] == 8 for job in report["jobs"] for answer in job["predictions"].values())
    for model in report["models"]:
        errors = [job["predictions"][model["name"]]["prediction"] - job["actual"] for job in report["jobs"]]
        assert model["n"] == 4
        assert model["mae"] == pytest.approx(sum(map(abs, errors)) / 4)
        assert model["mse"] == pytest.approx(sum(error**2 for error in errors) / 4)
        assert model["rmse"] == pytest.approx(model["mse"] ** 0.5)
        spread = sum((one - sum(actual) / 4) ** 2 for one in actual)
        assert model["r2"] == pytest.approx(1 - sum(error**2 for error in errors) / spread)
        row = rf"{model['name']} +{model['recipe']} +4 +-?\d+\.\d{{3}} +{model['mse']:.3f} +{model['mae']:.3f} "
        assert re.search(row, said)
    height, width, _ = pyplot.imread(here.path / "sweep-predict" / "predicted-vs-actual.png").shape
    assert width > height > 300
    assert "4 were done before" in here.sweep("predict", *TINY, "--sample", "lhs", "--iters", "4")
    assert "its points" not in here.sweep("predict", *TINY, "--sample", "lhs", "--iters", "5", code=2)
    assert f"did you mean {name}?" in here.sweep("predict", "--models", "the-bets", "--directory", "p", code=2)


def test_without_a_model_that_could_predict_no_job_is_run(here):
    body = {"name": here.stream, "target": {"name": "loop_time", "unit": "s"}}
    assert here.server.post("/api/v1/streams/", body)[0] == 201
    said = here.sweep("predict", *TINY, "--sample", "lhs", "--iters", "1", code=2)
    assert f"stream {here.stream} has no regression model to predict with" in said
    assert not list(here.path.glob("sweep-predict/jobs/*"))


def test_a_stream_in_another_unit_gets_no_times_in_seconds(here):
    body = {"name": here.stream, "target": {"name": "loop_time", "unit": "ms"}}
    assert here.server.post("/api/v1/streams/", body)[0] == 201
    assert "is in ms" in here.sweep("train", *TINY, "--iters", "1", "--recipes", "runtime", code=2)


def test_a_job_that_fails_is_no_label_and_is_tried_again(here):
    """An input of one's own, which stops with an error until a file is there."""
    made(here)
    source = (ROOT / "lammps_jobs" / "inputs" / "melt.in").read_text().replace("${seed}", "1")
    potential = Path(here.path, "CuZr_mm.eam.fs")
    (here.path / "own.in").write_text(source.replace("${potential}", str(potential)))
    options = ("train", "--input", "own.in", *TINY, "--iters", "2")
    said = here.sweep(*options, code=1)
    assert "2 jobs: 0 counted, 2 failed" in said
    assert "LAMMPS stopped with ERROR" in said
    assert here.observations() == []
    potential.symlink_to(potentials() / POTENTIAL)
    assert "2 jobs: 2 counted, 0 failed" in here.sweep(*options)
    assert sorted(one["y"] for one in here.observations()) == sorted(here.loop_times())


def test_a_job_past_its_limit_is_ended_and_said_to_have_failed(here):
    made(here)
    said = here.sweep(
        "train", "--x", "9", "--y", "9", "--z", "9", "--steps", "99999", "--iters", "1", "--time", "1s", code=1
    )
    assert "1 jobs: 0 counted, 1 failed" in said
    assert "the log breaks off" in said
    assert here.observations() == []


def test_while_the_server_is_away_jobs_run_on_and_are_delivered_by_the_next_start(here, tmp_path):
    server = Server(tmp_path / "own").start()
    place = Here(here.path, server, "own")
    made(place)
    process = place.start("train", *TINY, "--iters", "3")
    for line in process.stdout:
        if line.lstrip().startswith("1/3"):
            break
    server.kill()
    said, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert "was not delivered" in said
    server.start()
    try:
        assert "3 jobs: 3 counted" in place.sweep("train", *TINY, "--iters", "3")
        assert sorted(one["y"] for one in place.observations()) == sorted(place.loop_times())
    finally:
        server.stop()


@pytest.mark.skipif(
    not Path("/usr/share/lammps/examples/reaxff/HNS").exists() and not os.environ.get("CI"),
    reason=f"no HNS benchmark: {INSTALL}",
)
def test_the_hns_benchmark_runs_on_the_lammps_of_today(here):
    made(here)
    here.sweep("train", "--input", "hns", "--x", "1", "--y", "1", "--z", "1", "--steps", "2,4", "--sample", "grid")
    observations = here.observations()
    assert [one["y"] for one in observations] == here.loop_times()
    assert [(one["x"]["steps"], one["source"]["atoms"], one["source"]["steps"]) for one in observations] == [
        (2, 304, 2), (4, 304, 4),
    ]  # fmt: skip


def test_two_sweeps_do_not_mix(here):
    made(here)
    process = here.start("train", *TINY, "--iters", "2")
    until((here.path / "sweep-train" / "sweep.json").exists, lambda: "the sweep never began")
    assert "a sweep is running in" in here.sweep("train", *TINY, "--iters", "2", code=2)
    said, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, said
