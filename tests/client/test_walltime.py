"""The wall time to request: calibrated, and never in the way of a submission."""

import csv
import json
import os
import subprocess
import sys

import pytest
from tailrace.errors import NotFound, Unusable
from tailrace.handles.client import Client
from tailrace.walltime import Margin, NoWallTime, margin, wall_time

from tests.client.listeners import HTML, answer, listening, replies, silent
from tests.serving import ROOT

pytestmark = pytest.mark.one_database

JOB = {"x": 8, "y": 16, "z": 8}
SKIP = 50


@pytest.fixture(scope="module")
def client(served):
    return Client(served.url, "")


def command(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TAILRACE_")}
    environment |= {"PYTHONPATH": str(ROOT / "client"), "TAILRACE_URL": url}
    line = [sys.executable, "-m", "tailrace", "walltime", *arguments]
    return subprocess.run(line, env=environment, capture_output=True, text=True, check=False, timeout=60)


# The bound


def test_it_is_the_upper_quantile_that_the_estimator_itself_gives(client):
    estimator = client.model("runtime").download()
    for quantile in (0.8, 0.9, 0.95, 0.99):
        found = wall_time(client.model("runtime"), JOB, quantile=quantile, floor=1)
        assert found.seconds == found.bound == pytest.approx(estimator.predict_quantile_one(JOB, quantile), rel=1e-9)
        assert (found.quantile, found.at, found.expected) == (quantile, 120, client.model("runtime").predict(JOB).value)


def test_on_real_run_times_in_order_the_bounds_hold_as_often_as_they_say(shared_data, served):
    """LAMMPS's HNS benchmark, each run asked for over HTTP before it is posted."""
    client = Client(served.url, "")
    client.create_stream("hns", "wall_time", "s", features=["x", "y", "z"])
    model = client.create("hns-runtime", "hns", "runtime")
    within = dict.fromkeys((0.80, 0.90, 0.95), 0)
    asked = actual = 0.0
    with open(shared_data / "lammps_hns_timings.csv", newline="") as file:
        runs = [({name: int(row[name]) for name in "xyz"}, float(row["wall_seconds"])) for row in csv.DictReader(file)]
    for number, (x, seconds) in enumerate(runs):
        if number >= SKIP:
            found = {quantile: wall_time(model, x, quantile=quantile, floor=1).seconds for quantile in within}
            for quantile in within:
                within[quantile] += seconds <= found[quantile]
            asked += found[0.95]
            actual += seconds
        assert client.post("hns", x, seconds, strict=True).delivered
    for quantile, held in within.items():
        assert held / (len(runs) - SKIP) == pytest.approx(quantile, abs=0.05)
    assert asked <= 1.35 * actual


def test_margin_floor_and_ceiling_are_kept(client):
    model = client.model("runtime")
    bound = wall_time(model, JOB, floor=1).bound
    assert wall_time(model, JOB, floor=1, margin=Margin(0.1, 30)).seconds == pytest.approx(1.1 * bound + 30)
    assert wall_time(model, JOB, floor=3600).seconds == 3600
    assert wall_time(model, JOB, floor=1, margin=Margin(9, 0), ceiling=25).seconds == 25
    assert wall_time(model, JOB).seconds == max(60, bound)


def test_a_target_in_another_unit_of_time_is_asked_for_in_seconds(client):
    for unit, seconds in (("min", 60.0), ("h", 3600.0), ("ms", 0.001)):
        client.create_stream(f"in-{unit}", "time", unit)
        model = client.create(f"model-{unit}", f"in-{unit}", "runtime")
        client.post(f"in-{unit}", {"x": 1}, 7.0, strict=True)
        found = wall_time(model, {"x": 1}, floor=1e-9)
        assert found.bound == pytest.approx(seconds * model.predict({"x": 1}, level=0.9).high)
    client.create_stream("bonds", "icohp", "eV")
    client.create("bond", "bonds", "runtime")
    client.post("bonds", {"d": 2.5}, 1.0, strict=True)
    with pytest.raises(NoWallTime, match="predicts in 'eV', which is not a unit of time"):
        wall_time(client.model("bond"), {"d": 2.5})


def test_a_model_that_cannot_say_is_told_from_one_that_can(client):
    client.create_stream("young", "time", "s")
    with pytest.raises(NoWallTime, match="model baby has learned nothing yet"):
        wall_time(client.create("baby", "young", "runtime"), JOB)
    with pytest.raises(NoWallTime, match="model linear gives no interval: create a model from the recipe runtime"):
        wall_time(client.model("linear"), JOB)
    with pytest.raises(NotFound):
        wall_time(client.model("nobody"), JOB)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"quantile": 0.5}, "quantile is 0.5: expected a probability between 0.5 and 1"),
        ({"quantile": 1}, "quantile is 1"),
        ({"floor": 0}, "floor is 0 s"),
        ({"floor": 60, "ceiling": 30}, "expected 0 < floor ≤ ceiling"),
    ],
)
def test_what_makes_no_sense_is_refused(client, wrong, said):
    with pytest.raises(Unusable, match=said):
        wall_time(client.model("runtime"), JOB, **wrong)


def test_margins_are_read():
    assert margin("10%") == (0.1, 0.0)
    assert margin("30s") == (0.0, 30.0)
    assert margin("12.5% + 1h30m") == (0.125, 5400.0)
    for wrong in ("ten", "", "10", "10%+", "%"):
        with pytest.raises(Unusable, match="is not a margin"):
            margin(wrong)


# The command


def test_the_command_prints_the_time_and_nothing_else(served, client):
    done = command(served.url, "runtime", "x=8", "y=16", "z=8", "--floor", "1s", "--margin", "3m")
    expected = wall_time(client.model("runtime"), JOB, floor=1, margin=Margin(0, 180))
    assert (done.returncode, done.stdout, done.stderr) == (0, expected.written() + "\n", "")
    done = command(served.url, "runtime", "x=8", "y=16", "z=8", "--format", "pbs", "--json", "--quantile", "0.8")
    said = json.loads(done.stdout)
    assert said["walltime"] == "00:01:00"
    assert said.items() >= {"seconds": 60.0, "default": False, "quantile": 0.8, "at": 120, "model": "runtime"}.items()


NOT_ASKED = ["runtime", "x=8", "y=16", "z=8", "--default", "01:00:00", "--deadline", "0.5"]


@pytest.mark.parametrize("behave", [replies(answer("502 Bad Gateway", HTML)), silent, replies(answer("401 No", b"{}"))])
def test_where_the_server_is_no_help_the_default_is_printed(behave):
    with listening(behave) as listener:
        done = command(listener.url, *NOT_ASKED)
        assert (done.returncode, done.stdout) == (0, "01:00:00\n")
        assert done.stderr.startswith("tailrace: no wall time, using the default: ")
        assert len(done.stderr.splitlines()) == 1


def test_where_nothing_listens_the_default_is_printed_unless_it_is_strict():
    done = command("http://127.0.0.1:9", *NOT_ASKED, "--format", "lsf")
    assert (done.returncode, done.stdout) == (0, "01:00\n")
    done = command("http://127.0.0.1:9", *NOT_ASKED, "--strict")
    assert (done.returncode, done.stdout) == (1, "")
    assert "connection refused" in done.stderr
    done = command("http://127.0.0.1:9", *NOT_ASKED[:4])
    assert (done.returncode, done.stdout) == (1, "")
    assert "--default sets one for this case" in done.stderr


def test_a_model_that_learned_nothing_and_a_wrong_name_give_the_default_with_the_reason(served, client):
    client.create_stream("new", "time", "s")
    client.create("newborn", "new", "runtime")
    done = command(served.url, "newborn", "x=8", "--default", "2h")
    assert (done.returncode, done.stdout) == (0, "02:00:00\n")
    assert "model newborn has learned nothing yet" in done.stderr
    done = command(served.url, "runtme", "x=8", "--default", "2h")
    assert (done.returncode, done.stdout) == (0, "02:00:00\n")
    assert "did you mean 'runtime'?" in done.stderr
    assert command(served.url, "newborn", "x=8", "--default", "2h", "--strict").returncode == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["runtime", "x=8", "--default", "60"], "did you mean 60s or 60m?"),
        (["runtime", "x=8", "--quantile", "0.3"], "quantile is 0.3"),
        (["runtime", "x8"], "'x8' is not a feature"),
        (["runtime"], "there is no feature"),
        (["runtime", "x=8", "--format", "sge"], "invalid choice: 'sge'"),
        (["runtime", "x=8", "--quantil", "0.9"], "did you mean '--quantile'?"),
    ],
)
def test_a_command_line_that_cannot_be_used_prints_no_time(served, arguments, said):
    done = command(served.url, *arguments, "--default", "1h") if "--default" not in arguments else command(
        served.url, *arguments
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr


def test_each_run_sharpens_the_next_request(served):
    """What the submit script does, in a loop: ask, run, post."""
    client = Client(served.url, "")
    client.create_stream("sharpening", "time", "s", features=["x"])
    model = client.create("sharp", "sharpening", "runtime")
    requested = []
    for number in range(40):
        x = {"x": 5 + number % 7}
        if number:
            requested.append(wall_time(model, x, floor=1).seconds / (10.0 * x["x"]))
        client.post("sharpening", x, 10.0 * x["x"], strict=True)
    assert requested[0] > 1.5
    assert all(1.0 <= one < 1.1 for one in requested[-7:])
