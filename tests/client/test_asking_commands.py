"""The commands that ask: tables with units for people, JSON for programs, one line where something is wrong."""

import csv
import json
import os
import pickle
import pty
import subprocess
import sys

import pytest
from tailrace.handles.client import Client

from tests.client.conftest import POINTS, STREAM
from tests.serving import PATIENCE, ROOT

pytestmark = pytest.mark.one_database

POINT = ["x=8", "y=16", "z=8"]


@pytest.fixture(scope="module")
def client(served):
    return Client(served.url, "")


@pytest.fixture(scope="module")
def tailrace(served, tmp_path_factory):
    """Runs a command in a directory of its own; returns exit code, output and complaint."""
    directory = tmp_path_factory.mktemp("commands")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TAILRACE_")}
    environment |= {"PYTHONPATH": str(ROOT / "client"), "TAILRACE_URL": served.url}

    def run(*arguments: str, stdin: str | int | None = None) -> subprocess.CompletedProcess[str]:
        given = {"stdin": stdin} if isinstance(stdin, int) else {"input": stdin}
        return subprocess.run(
            [sys.executable, "-m", "tailrace", *arguments], cwd=directory, env=environment, **given,
            capture_output=True, text=True, check=False, timeout=PATIENCE,
        )  # fmt: skip

    run.directory = directory
    return run


def printed(done: subprocess.CompletedProcess[str]) -> str:
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def said(done: subprocess.CompletedProcess[str]) -> list:
    return [json.loads(line) for line in printed(done).splitlines()]


def test_predict_prints_a_line_or_json(tailrace, client):
    expected = client.model("runtime").predict(x=8, y=16, z=8, level=0.8)
    assert printed(tailrace("predict", "runtime", *POINT, "--level", "0.8")) == f"{expected}\n"
    (answer,) = said(tailrace("predict", "runtime", *POINT, "--level", "0.8", "--json"))
    assert answer == {
        "model": "runtime", "prediction": expected.value, "unit": "s", "at": POINTS, "x": {"x": 8, "y": 16, "z": 8},
        "interval": [expected.low, expected.high], "level": 0.8,
    }  # fmt: skip


def test_predict_reads_many_points_from_a_file_or_standard_input(tailrace, client):
    points = [{"x": 1, "y": 2, "z": 3}, {"x": 4, "y": 5, "z": 6.5}]
    expected = client.model("runtime").predict(points).values
    table = "x,y,z\n1,2,3\n4,5,6.5\n"
    lines = "".join(json.dumps(point) + "\n" for point in points)
    (tailrace.directory / "jobs.csv").write_text(table)
    (tailrace.directory / "jobs.ndjson").write_text(lines)
    for name in ("jobs.csv", "jobs.ndjson"):
        assert [one["prediction"] for one in said(tailrace("predict", "runtime", "--file", name, "--json"))] == expected
    for text in (table, lines):
        found = said(tailrace("predict", "runtime", "--file", "-", "--json", stdin=text))
        assert [one["x"] for one in found] == points
    text = printed(tailrace("predict", "runtime", "--file", "jobs.csv"))
    assert "prediction (s)" in text
    assert len(text.splitlines()) == 4


def test_a_tracked_prediction_is_labelled(tailrace, client):
    client.create_stream("tracked", "time", "s")
    client.create("tracked-mean", "tracked", "mean")
    (kept,) = said(tailrace("predict", "tracked-mean", "x=1", "--track", "--json"))
    (answer,) = said(tailrace("label", kept["identifier"], "--y", "120.3", "--source", "job=7", "--json"))
    assert (answer["accepted"], answer["last"]) == (1, 1)
    assert "known before" in printed(tailrace("label", kept["identifier"], "--y", "120.3"))
    assert [one["source"] for one in client.stream("tracked").observations()] == [{"job": 7}]
    again = tailrace("label", kept["identifier"], "--y", "7")
    assert again.returncode == 1
    assert "has the label 120.3 already" in again.stderr


def test_metrics_of_one_and_of_several_models(tailrace, client):
    text = printed(tailrace("metrics", "runtime"))
    assert "latest 100" in text
    assert any(line.split()[:2] == ["RMSE", "s"] for line in text.splitlines())
    (then,) = said(tailrace("metrics", "runtime", "--at", "50", "--json"))
    assert then["metrics"] == dict(client.model("runtime").as_of(50).metrics())
    lines = printed(tailrace("metrics", "runtime", "linear", "mean")).splitlines()
    assert lines[0].split()[:4] == ["model", "at", "scored", "MAE"]
    assert [line.split()[0] for line in lines[1:]] == ["runtime", "linear", "mean"]


def test_history_is_printed_whole_or_drawn(tailrace, client):
    assert len(printed(tailrace("history", "runtime")).splitlines()) == 2 + POINTS - 1
    (found,) = said(tailrace("history", "runtime", "--json"))
    assert found["points"] == client.model("runtime").history().points
    printed(tailrace("history", "runtime", "linear", "--plot", "h.png"))
    assert (tailrace.directory / "h.png").read_bytes().startswith(b"\x89PNG")


def test_streams_models_and_recipes_are_listed_and_shown(tailrace, client):
    assert STREAM in printed(tailrace("streams"))
    assert [one["name"] for one in said(tailrace("streams", "--json"))[0]["streams"]] == list(client.streams)
    assert "loop_time (s)" in printed(tailrace("streams", STREAM))
    tail = printed(tailrace("streams", STREAM, "--tail", "3")).splitlines()
    assert [line.split()[0] for line in tail[2:]] == ["118", "119", "120"]
    assert {"runtime", "linear", "mean"} <= {line.split()[0] for line in printed(tailrace("models")).splitlines()}
    assert {one["stream"] for one in said(tailrace("models", "--stream", STREAM, "--json"))[0]["models"]} == {STREAM}
    assert "as of observation 10" in printed(tailrace("models", "runtime", "--at", "10"))
    assert "Run time of parallel jobs" in printed(tailrace("recipes"))
    assert "Highest degree of the products of sizes." in printed(tailrace("recipes", "runtime"))
    assert said(tailrace("recipes", "mean", "--json"))[0]["parameters"] == []


def test_export_writes_a_file_or_standard_output(tailrace, client):
    log = list(client.stream(STREAM).observations())
    assert said(tailrace("export", STREAM)) == log
    assert said(tailrace("export", STREAM, "--after", "100", "--limit", "5")) == log[100:105]
    (told,) = said(tailrace("export", STREAM, "--to", "runs.csv", "--json"))
    assert told["bytes"] == (tailrace.directory / "runs.csv").stat().st_size
    rows = list(csv.DictReader((tailrace.directory / "runs.csv").open(newline="")))
    assert [float(row["y"]) for row in rows] == [one["y"] for one in log]
    printed(tailrace("export", STREAM, "--to", "runs.txt", "--format", "ndjson"))
    assert len((tailrace.directory / "runs.txt").read_text().splitlines()) == POINTS


def test_an_export_whose_reader_has_seen_enough_ends_quietly(tailrace, served):
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "client"), "TAILRACE_URL": served.url}
    command = f"{sys.executable} -m tailrace export {STREAM} | head -n 1"
    done = subprocess.run(["sh", "-c", command], env=environment, capture_output=True, text=True, timeout=PATIENCE)
    assert json.loads(done.stdout)["seq"] == 1
    assert done.stderr == ""


def test_download_saves_an_estimator_that_predicts(tailrace, client):
    (told,) = said(tailrace("download", "runtime", "--at", "50", "--json"))
    assert told["path"] == "runtime.pkl"
    estimator = pickle.loads((tailrace.directory / "runtime.pkl").read_bytes())
    log = list(client.stream(STREAM).observations(after=50, limit=1))
    assert estimator.predict_one(log[0]["x"]) == log[0]["predictions"]["runtime"]


def test_create_makes_a_model_and_where_it_is_asked_for_its_stream(tailrace, client):
    made = tailrace(
        "create", "quick", "--stream", "fresh", "--recipe", "runtime", "--set", "degree=2", "--set", "memory=500",
        "--target", "loop_time", "--unit", "s", "--features", "x,y", "--json",
    )  # fmt: skip
    assert said(made)[0]["parameters"].items() >= {"degree": 2, "memory": 500}.items()
    assert client.stream("fresh").info()["features"] == {"x": "number", "y": "number"}
    again = tailrace("create", "other", "--stream", "fresh", "--recipe", "mean", "--target", "loop_time", "--wait")
    assert "model other" in printed(again)
    described = json.dumps({"class": "linear_model.LinearRegression", "params": {"l2": 0.1}})
    command = ["create", "lasso", "--stream", STREAM, "--estimator", "-", "--flavor", "regression", "--wait", "--json"]
    assert said(tailrace(*command, stdin=described))[0]["learned"] == POINTS


def test_expect_says_how_often_a_stream_should_get_observations(tailrace, client):
    client.post("beating", {"x": 8}, 1.5, strict=True)
    told = printed(tailrace("expect", "beating", "--every", "1d", "--grace", "90m"))
    assert "every 1-00:00:00, and 01:30:00 of grace: on time; the last came at 20" in told
    assert client.stream("beating").info()["expected"]["every"] == 86400
    assert "expected" not in printed(tailrace("expect", "beating", "--never"))
    wrong = tailrace("expect", "beating", "--every", "30")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "'30' is not a duration (did you mean 30s or 30m?)" in wrong.stderr
    short = tailrace("expect", "beating", "--every", "5s")
    assert short.returncode == 1
    assert "expected.every is 5: expected whole seconds from 60" in short.stderr


def test_delete_asks_for_the_streams_name_and_deletes_it_with_all_that_depends_on_it(tailrace, client):
    client.post("runtme", {"x": 8}, 1.5, strict=True)
    client.create("on-runtme", "runtme", "mean")
    unasked = tailrace("delete", "runtme", stdin="runtme\n")
    assert (unasked.returncode, unasked.stdout) == (2, "")
    assert "there is no terminal to ask on: --confirm runtme" in unasked.stderr
    wrong = tailrace("delete", "runtme", "--confirm", "runtime")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "'runtime' is not the stream's name, runtme: nothing was deleted" in wrong.stderr
    for typed, code in (("runtime", 2), ("", 2), ("runtme", 0)):
        assert client.stream("runtme").models == ["on-runtme"]
        master, terminal = pty.openpty()
        os.write(master, f"{typed}\n".encode())
        done = tailrace("delete", "runtme", stdin=terminal)
        os.close(terminal)
        os.close(master)
        assert done.returncode == code, done.stderr
        assert "Type the stream's name" in done.stdout
        assert "observations" in done.stdout
    assert done.stdout.endswith("tailrace: stream runtme is deleted\n")
    assert "runtme" not in client.streams
    assert "on-runtme" not in client.models


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        (["predict", "runtme", *POINT], 1, "did you mean 'runtime'?"),
        (["predict", "runtime"], 2, "expected either features"),
        (["predict", "runtime", "x=8", "--file", "jobs.csv"], 2, "expected either features"),
        (["predict", "runtime", "--file", "nowhere.csv"], 2, "nowhere.csv can't be read: No such file"),
        (["predict", "runtime", "--file", "-"], 2, "-, line 2: not valid JSON"),
        (["predict", "runtime", "x=8", "y=16"], 1, "missing z"),
        (["predict", "runtime", "x=8", "y=nan", "z=1"], 2, "y is nan: expected a finite number"),
        (["predict", "runtime", *POINT, "--level", "2"], 1, "level is 2"),
        (["predict", "runtime", *POINT, "--level", "95%"], 2, "'95%' is not a probability: expected a number such as 0.95"),
        (["predict", "runtime", "x=", "y=16", "z=8"], 2, "x has no value: expected x=VALUE"),
        (["walltime", "runtime", "x=8", "y=", "z=8"], 2, "y has no value: expected y=VALUE"),
        (["predict", "runtime", *POINT, "--levl", "0.5"], 2, "did you mean '--level'?"),
        (
            ["create", "m", "--stream", STREAM, "--recipe", "mean", "--target", "loop_time", "--unit", "ms"],
            1, "its target.unit is 's', not 'ms'",
        ),
        (["label", "nobody", "--y", "3"], 1, "no prediction is kept for identifier 'nobody'"),
        (["label", "nobody"], 2, "--y"),
        (["metrics", "runtime", "--segment", "fcc"], 1, "no segment 'fcc' was seen"),
        (["metrics", "runtime", "--at", "9999"], 1, "expected a number from 0 to 120"),
        (["history", "runtime", "--plot", "h.xyz"], 2, "h.xyz has no known picture format"),
        (["streams", "lammps-runtim"], 1, "did you mean 'lammps-runtime'?"),
        (["streams", "--tail", "3"], 2, "--tail is for one stream: name it"),
        (["models", "--stream", "nix"], 1, "no stream named 'nix'"),
        (["models", "--at", "3"], 2, "--at is for one model: name it"),
        (["recipes", "runtme"], 1, "did you mean 'runtime'?"),
        (["export", STREAM, "--to", "runs.txt"], 2, "runs.txt has no known ending"),
        (["export", STREAM, "--json"], 2, "--json needs --to FILE"),
        (["export", STREAM, "--after", "-1"], 1, "after is -1"),
        (["download", "runtime", "--to", "/nowhere/m.pkl"], 1, "/nowhere/m.pkl can't be written: No such file"),
        (["create", "n", "--stream", STREAM, "--recipe", "runtim"], 1, "Did you mean 'runtime'?"),
        (["create", "n", "--stream", STREAM, "--recipe", "runtime", "--set", "degre=1"], 1, "Did you mean 'degree'?"),
        (["create", "n", "--stream", STREAM], 2, "--recipe --estimator"),
        (["create", "n", "--stream", STREAM, "--recipe", "mean", "--unit", "s"], 2, "give --target too"),
        (["create", "n", "--stream", STREAM, "--estimator", "-"], 2, "--estimator needs --flavor"),
        (["create", "n", "--stream", STREAM, "--estimator", "-", "--flavor", "regression"], 2, "- is not valid JSON"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_line_and_an_exit_code(tailrace, arguments, code, complaint):
    done = tailrace(*arguments, stdin='{"x": 1}\n{"x":\n')
    assert complaint in done.stderr
    assert (done.returncode, done.stdout) == (code, "")
    assert len(done.stderr.splitlines()) == 1


def test_where_nothing_listens_one_line_says_so(tailrace):
    for command in (["models"], ["predict", "m", "x=1"], ["export", "s"], ["download", "m"]):
        done = tailrace(*command, "--url", "http://127.0.0.1:9")
        assert (done.returncode, done.stdout) == (1, "")
        assert "nothing listens there (connection refused)" in done.stderr
        assert len(done.stderr.splitlines()) == 1
