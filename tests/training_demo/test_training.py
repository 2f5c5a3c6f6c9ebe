"""The training of the demo: its gradient is right, and killed and resumed it ends where an undisturbed one does."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from tests.client.running import NOBODY, environment
from tests.client.trainings import files, new_uid
from tests.serving import ROOT
from training_demo.comparison import Comparison, compare, draw, logged_points
from training_demo.pinn import Network, Problem, exact, relative_error

pytestmark = pytest.mark.one_database

STEPS = 260


def test_the_gradient_is_that_of_the_loss():
    network, problem = Network((5, 4), seed=3), Problem(50)
    _, gradient = problem.losses(network)
    for weight, found in zip(network.weights, gradient, strict=True):
        place = tuple(size // 2 for size in weight.shape)
        kept, losses = weight[place], []
        for change in (1e-6, -1e-6):
            weight[place] = kept + change
            losses.append(problem.losses(network)[0].total)
        weight[place] = kept
        assert found[place] == pytest.approx((losses[0] - losses[1]) / 2e-6, rel=1e-5)


def test_derivatives_are_those_of_the_network():
    network = Network((6,), seed=1)
    x, t, step = np.array([0.3]), np.array([0.6]), 1e-4
    jet, _ = network.forward(x, t)

    def at(dx=0.0, dt=0.0):
        return network.forward(x + dx, t + dt)[0].value.item()

    assert jet.dx.item() == pytest.approx((at(step) - at(-step)) / (2 * step), rel=1e-5)
    assert jet.dxx.item() == pytest.approx((at(step) - 2 * at() + at(-step)) / step**2, rel=1e-4)
    assert jet.dt.item() == pytest.approx((at(dt=step) - at(dt=-step)) / (2 * step), rel=1e-5)
    assert exact(np.array([0.5]), np.array([0.0])).item() == 1.0
    assert relative_error(network)[0] > 0.1


def training(folder, uid):
    command = [
        sys.executable,
        "-m",
        "training_demo.train",
        str(folder),
        "--run",
        uid,
        "--steps",
        str(STEPS),
        "--backend",
        "tailrace",
    ]
    one_core = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    environ = environment(TAILRACE_URL=NOBODY, TAILRACE_TRACKING_HANDOVER="0", **one_core)
    environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), environ["PYTHONPATH"]])
    return subprocess.Popen(
        command, cwd=ROOT, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def test_killed_and_resumed_it_ends_where_an_undisturbed_one_does(tmp_path):
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    whole = training(tmp_path / "whole", new_uid())
    uid = new_uid()
    killed = training(tmp_path / "killed", uid)
    deadline = time.monotonic() + 200
    while not (tmp_path / "killed" / "checkpoint.npz").exists() and time.monotonic() < deadline:
        threading.Event().wait(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    resumed = training(tmp_path / "killed", uid)
    assert resumed.wait(250) == 0, resumed.stderr.read()
    assert whole.wait(250) == 0, whole.stderr.read()
    undisturbed = dict(logged_points(tmp_path / "whole" / "logged.txt"))
    logged = logged_points(tmp_path / "killed" / "logged.txt")
    assert len(undisturbed) == STEPS
    assert dict(logged) == undisturbed  # also the steps that were made twice
    kept = [
        json.loads(line) for path in files(tmp_path / "killed" / "spool") for line in path.read_bytes().splitlines()
    ]
    losses = sorted(
        (one["step"], one["values"]["loss"]) for one in kept if one["kind"] == "metrics" and "loss" in one["values"]
    )
    extra = len(losses) - len(logged)
    assert extra in (0, 1)  # it was killed between the call and the note of it
    assert set(losses) == set(undisturbed.items())


def test_a_difference_is_seen(tmp_path):
    mine = {"loss": ((0, 1, 0.5), (1, 2, 0.25)), "l2_error": ((0, 1, 1.0),)}
    assert all(row.equal for row in compare(mine, dict(mine)))
    other = {**mine, "loss": ((0, 1, 0.5),), "more": ((0, 1, 1.0),)}
    rows = compare(mine, other)
    assert [row.key for row in rows if not row.equal] == ["loss", "more"]
    draw(tmp_path / "picture.png", rows, 1, 0, str)
    assert (tmp_path / "picture.png").stat().st_size > 10_000
    assert not Comparison("x", ((0, 1, 0.5),), ((0, 2, 0.5),)).equal
