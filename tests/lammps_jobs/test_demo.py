"""The demo as a user runs it: real LAMMPS, a real server, stopped in every way, started again."""

import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
from bs4 import BeautifulSoup
from matplotlib import pyplot
from tailrace.spool.spool import Spool

from tests.processes import below
from tests.serving import Server

pytestmark = [pytest.mark.xdist_group("demo"), pytest.mark.one_database]

ROOT = Path(__file__).resolve().parents[2]
SMALL = ("--seed", "3575", "--jobs", "3", "--heldout", "2")  # A seed whose jobs are short.
PATIENCE = 180


def environment(var: Path) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("TAILRACE_")}
    return own | {"TAILRACE_VAR_DIR": str(var)}


class Demo:
    """One start of the demo."""

    def __init__(self, var: Path, *options: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "lammps_jobs.demo", *options],
            cwd=ROOT, env=environment(var), text=True, bufsize=1,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self.said: list[str] = []

    def until(self, words: str) -> "Demo":
        """Read what it says up to the line that holds `words`."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(line)
            if words in line:
                return self
        raise AssertionError(f"the demo never said {words!r}, but:\n{self.text}")

    def end(self) -> int:
        """Read the rest and return the exit code."""
        assert self.process.stdout is not None
        self.said += self.process.stdout.readlines()
        return self.process.wait(PATIENCE)

    @property
    def text(self) -> str:
        return "".join(self.said)

    @property
    def children(self) -> dict[psutil.Process, list[str]]:
        """The processes below it, and their command lines."""
        return below(self.process.pid, psutil.Process.cmdline)


def kill_the_demo(demo: Demo) -> None:
    demo.process.kill()
    demo.end()


def interrupt_the_demo(demo: Demo) -> None:
    children = demo.children
    assert not any("trc_" in word for words in children.values() for word in words)
    demo.process.send_signal(signal.SIGINT)
    assert demo.end() == 130
    assert "Stopped. Finished work is kept" in demo.text
    assert psutil.wait_procs(children, timeout=10)[1] == []


def kill_its_server(demo: Demo) -> None:
    """All of it, as `kill -9` of a process group does."""
    for process, words in demo.children.items():
        if "-m server" in " ".join(words):
            process.kill()
    assert demo.end() == 0
    assert "The server has stopped: starting it again." in demo.text


@pytest.fixture(scope="module")
def var(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a demo has ended that was stopped in three ways on its way."""
    var = tmp_path_factory.mktemp("demo") / "var"
    for stop in (kill_the_demo, interrupt_the_demo, kill_its_server):
        stop(Demo(var, *SMALL).until("/5  "))
    return var


@pytest.fixture(scope="module")
def again(var: Path) -> str:
    """What a start says after all is done. It finds what an epilogue leaves that is killed between an answer and its end."""
    (first, *_) = observations(var)
    Spool(var / "demo" / "spool").put("lammps-runtime", {name: first[name] for name in ("x", "y", "key")})
    demo = Demo(var)
    assert demo.end() == 0
    return demo.text


@pytest.fixture(scope="module")
def log(var: Path, again: str) -> list[dict[str, Any]]:
    """All that the server has in the end."""
    return observations(var)


def observations(var: Path) -> list[dict[str, Any]]:
    server = Server(var).start()
    try:
        status, page = server.get("/api/v1/streams/lammps-runtime/observations/?after=0")
    finally:
        server.stop()
    assert status == 200
    return page["observations"]


def loop_time(var: Path, name: str) -> float:
    """Read without the parser under test."""
    (found,) = re.findall(r"Loop time of (\S+) on", (var / "demo" / "jobs" / name / "log.lammps").read_text())
    return float(found)


def test_the_log_holds_each_job_once_whatever_happened_on_the_way(log):
    assert [one["seq"] for one in log] == [1, 2, 3]
    assert [one["source"]["job"] for one in log] == ["train-001", "train-002", "train-003"]
    assert len({one["key"] for one in log}) == 3


def test_what_is_learned_is_the_loop_time_of_the_job_itself(var, log):
    for one in log:
        script = (var / "demo" / "jobs" / one["source"]["job"] / "job.sh").read_text()
        assert one["y"] == loop_time(var, one["source"]["job"])
        assert {name: int(re.search(rf"-v {name} (\d+)", script)[1]) for name in "xyz"}.items() <= one["x"].items()
        assert one["x"]["processes"] == (2 if "mpiexec -n 2" in script else 1)


def test_its_tokens_are_kept_where_their_owner_alone_can_read_them_and_nowhere_else(var, again):
    kept = var / "demo" / "tokens.json"
    assert kept.stat().st_mode & 0o777 == 0o600
    secrets = [secret.removeprefix("trc_").encode() for secret in json.loads(kept.read_bytes()).values()]
    assert len(set(secrets)) == 3
    for path in var.rglob("*"):
        if path.is_file() and path != kept:
            content = path.read_bytes()
            assert not any(secret in content for secret in secrets), path


def test_a_jobs_token_learns_into_its_stream_and_does_nothing_else(var, again, log, tmp_path):
    tokens = json.loads((var / "demo" / "tokens.json").read_bytes())
    shutil.copytree(var, tmp_path / "var")  # what is learned here is learned in a copy
    point = {"x": {**log[0]["x"]}, "y": 1.0}

    def headers(name: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {tokens[name]}"}

    stream = "/api/v1/streams/lammps-runtime/"
    server = Server(tmp_path / "var", auth="required").start()
    try:
        assert server.get(stream)[0] == 401
        status, receipt = server.post(f"{stream}observations/", point, **headers("jobs"))
        assert (status, receipt["last"], receipt["models"]) == (201, 4, {})
        assert server.post("/api/v1/streams/another/observations/", point, **headers("jobs"))[0] == 404
        for path in (stream, f"{stream}observations/", "/api/v1/models/", "/api/v1/models/runtime/metrics/"):
            assert server.get(path, **headers("jobs"))[0] == 403
            assert server.get(path, **headers("asking"))[0] == 200
        predict = "/api/v1/models/runtime/predict/"
        assert server.post(predict, {"x": point["x"]}, **headers("jobs"))[0] == 403
        assert server.post(predict, {"x": point["x"]}, **headers("asking"))[0] == 200
        assert server.post(f"{stream}observations/", point, **headers("asking"))[0] == 403
    finally:
        server.stop()


def test_nothing_is_left_waiting(var, again):
    assert list((var / "demo" / "spool").glob("*.json")) == []


def test_a_demo_that_is_done_says_so_and_shows_its_table_again(again):
    assert "All 5 jobs were done before; none was run again" in again
    for model in ("linear", "bayesian", "passive-aggressive", "runtime"):
        assert re.search(rf"^ *{model} +3( +-?\d+\.\d{{3}}){{5}} *$", again, re.MULTILINE), again


def test_the_held_out_errors_are_those_of_predictions_made_before_the_job_ran(var, again):
    errors = []
    for name in ("heldout-001", "heldout-002"):
        said = json.loads((var / "demo" / "jobs" / name / "prediction.json").read_text())
        assert said["linear"]["at"] == 3
        errors.append(abs(said["linear"]["prediction"] - loop_time(var, name)))
    (row,) = re.findall(r"^ *linear .*$", again, re.MULTILINE)
    assert row.split()[4] == f"{sum(errors) / 2:.3f}"


def test_what_the_page_shows_to_who_signs_in_is_what_the_table_says(var, again, tmp_path):
    (address, user, password) = re.findall(
        r"Watch the models learn: \S+?(/streams/\S+) \(sign in as (\S+) with (\S+)\)", again
    )[0]
    rmse = {m[0]: float(m[1]) for m in re.findall(r"^ *(\S+) +3 +\S+ +(\d+\.\d{3})", again, re.MULTILINE)}
    assert len(rmse) == 4
    shutil.copytree(var, tmp_path / "var")
    server = Server(tmp_path / "var", auth="required").start()
    try:
        person = requests.Session()
        page = BeautifulSoup(person.get(f"{server.url}/login/", params={"next": address}).text, "html.parser")
        form = {field["name"]: field.get("value", "") for field in page.select("main form input[name]")}
        shown = person.post(
            f"{server.url}/login/", form | {"username": user, "password": password}, headers={"Referer": server.url}
        )
        assert shown.url == f"{server.url}{address}"
        page = BeautifulSoup(shown.text, "html.parser")
        rows = page.select("#models ~ table tbody tr")[:4]
        seen = {row.th.text: row.select_one("[data-label=Error]").text.split() for row in rows}
    finally:
        server.stop()
    assert {name: words[0] for name, words in seen.items()} == dict.fromkeys(rmse, "RMSE")
    for name, words in seen.items():
        assert float(words[1]) == pytest.approx(rmse[name], rel=1e-3, abs=6e-4)


def test_its_pictures_are_pictures(var, again):
    for name in ("drift.png", "predicted-vs-actual.png"):
        height, width, _ = pyplot.imread(var / "demo" / name).shape
        assert width > height > 500


def test_the_lines_it_offers_to_paste_work(var, again):
    lines = again[again.index("from tailrace import Client") :].strip().splitlines()
    assert len(lines) == 4
    server = Server(var).start()
    try:
        pasted = "\n".join(lines).replace(re.search(r"http://[\w.:]+", lines[1])[0], server.url)
        shown = subprocess.run(
            [sys.executable, "-i"], input=pasted + "\n", capture_output=True, text=True, timeout=PATIENCE, check=True
        ).stdout
    finally:
        server.stop()
    predicted, metrics = shown.strip().split("\n", 1)
    assert re.fullmatch(r"\d.* s \(.* at 95 %\), \S+ after observation \d+", predicted), predicted
    assert "MAE" in metrics and "RMSE" in metrics


def test_a_database_that_was_lost_is_filled_again_from_the_jobs_results(var, log, tmp_path):
    shutil.copytree(var / "demo", tmp_path / "demo")
    demo = Demo(tmp_path)
    assert demo.end() == 0
    assert "none was run again" in demo.text
    assert [one["y"] for one in observations(tmp_path)] == [one["y"] for one in log]


def test_names_that_are_taken_are_left_alone(var, again, tmp_path):
    """Such as those of an earlier demo whose directory was deleted, or moved aside by --fresh."""
    for path in var.iterdir():
        if path.is_file():
            shutil.copy(path, tmp_path)
    demo = Demo(tmp_path, "--fresh", *SMALL).until("Stream ")
    demo.process.send_signal(signal.SIGTERM)
    assert demo.end() == 130
    assert "Stream lammps-runtime-2, models linear-2, bayesian-2, passive-aggressive-2, runtime-2." in demo.text


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--seed", "7"], "started with --seed 3575"),
        (["--jobs", "700"], "700 jobs and 2 held-out jobs are too many"),
        (["--jobs", "some"], "'some' is not a count: expected a whole number, at least 1"),
    ],
)
def test_a_wrong_start_says_what_is_wrong(var, options, words):
    demo = Demo(var, *options)
    assert demo.end() == 2
    assert words in demo.text


def test_two_demos_do_not_mix(var):
    with open(var / "demo.lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        demo = Demo(var)
        assert demo.end() == 2
    assert "a demo is running already" in demo.text


def test_outside_a_checkout_it_says_where_it_belongs(tmp_path):
    shutil.copytree(ROOT / "lammps_jobs", tmp_path / "lammps_jobs")
    done = subprocess.run(
        [sys.executable, "-m", "lammps_jobs.demo"],
        cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "run it from a checkout of Tailrace" in done.stderr
