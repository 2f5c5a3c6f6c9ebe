"""Everything that a training logged arrives once at a real server, whatever happens to the training and on the way."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from urllib.parse import quote

import pytest
from tailrace.tracking import ExperimentConfig, ExperimentTracker
from tailrace.tracking.flush import flush_runs

from tests import serving
from tests.client.listeners import HTML, answer, half_closing, listening, replies, silent, trickling
from tests.client.running import NOBODY, command
from tests.client.trainings import files, new_uid, train

pytestmark = [pytest.mark.one_database, pytest.mark.filterwarnings("ignore::tailrace.tracking.warning.TrackingWarning")]

POINTS = 5000


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with serving.fresh_database("tracked") as database:
        server = serving.Server(tmp_path_factory.mktemp("tracked") / "var", database, workers=1, threads=8).start()
        try:
            yield server
        finally:
            server.kill()


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    monkeypatch.setenv("TAILRACE_TRACKING_HANDOVER", "0")
    monkeypatch.delenv("TAILRACE_TOKEN", raising=False)


def history(server, uid, key):
    """Step and value of each point."""
    found, after = [], ""
    while True:
        status, page = server.get(f"/api/v1/runs/{uid}/history/?key={quote(key)}&limit=10000{after}")
        assert status == 200, page
        found += [(one["step"], one["value"]) for one in page["points"]]
        if page["next"] is None:
            return found
        after = f"&after={quote(str(page['next']))}"


def run_of(server, uid):
    status, found = server.get(f"/api/v1/runs/{uid}/")
    assert status == 200, found
    return found


def flushed(spool, url, *more):
    return command("flush", "--spool", str(spool), *more, environ={"TAILRACE_URL": url})


KILLED = f"""
run = tracker.start_run(run_id=uid)
for step in range({POINTS}):
    tracker.log_metrics({{"loss": 1 / (step + 1)}}, step=step)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("away", [False, True], ids=["server there", "server away"])
def test_kill_9_after_5000_points_loses_none(served, tmp_path, away):
    uid = new_uid()
    done = train(KILLED, tmp_path, uid=uid, TAILRACE_URL=NOBODY if away else served.url)
    assert done.returncode == -signal.SIGKILL, done.stderr
    moved = ["--from", NOBODY] if away else []
    ended = flushed(tmp_path, served.url, *moved)
    assert ended.returncode == 0, ended.stderr
    expected = [(step, 1 / (step + 1)) for step in range(POINTS)]
    assert history(served, uid, "loss") == expected
    assert files(tmp_path) == []
    assert flushed(tmp_path, served.url, *moved).returncode == 0
    assert history(served, uid, "loss") == expected


def test_a_line_that_the_killed_process_did_not_finish_is_left_out(served, tmp_path):
    uid = new_uid()
    train(KILLED.replace(str(POINTS), "10"), tmp_path, uid=uid, TAILRACE_URL=NOBODY)
    (path,) = files(tmp_path)
    path.write_bytes(path.read_bytes() + b'{"kind":"metrics","step":99,"ti')
    assert flushed(tmp_path, served.url, "--from", NOBODY).returncode == 0
    assert [step for step, _ in history(served, uid, "loss")] == list(range(10))
    assert files(tmp_path) == []


def test_damaged_files_of_the_spool_stop_nothing(served, tmp_path):
    uid = new_uid()
    train(KILLED.replace(str(POINTS), "10"), tmp_path, uid=uid, TAILRACE_URL=served.url)
    for name, content in {
        "empty": b"",
        "torn": b'{"kind":"run"',
        "odd": b'{"kind":"run","uid":7}\n',
        "noise": os.urandom(99),
    }.items():
        place = tmp_path / "tracking" / f"{name:a<32}"
        place.mkdir()
        (place / "w.lines").write_bytes(content)
    (path,) = [one for one in files(tmp_path) if one.parent.name == uid]
    with open(path, "ab") as file:  # what a power cut can leave in the middle of a file
        file.write(b"\0" * 100 + b"\n" + b'{"kind":"metrics","step":50,"time_ms":5,"values":{"loss":2.0}}\n')
    ended = flushed(tmp_path, served.url)
    assert (10 + 1, ended.returncode) == (len(history(served, uid, "loss")), 4), ended.stderr
    assert "1 damaged lines" in ended.stderr


def test_a_run_is_resumed_on_another_node(served, tmp_path):
    """Its spool is left where it was: two writers of one run, each with its lines."""
    uid = new_uid()
    program = "run = tracker.start_run(run_id=uid)\nfor step in range({}, {}): tracker.log_metrics({{'loss': 1.0}}, step=step)\n"
    train(program.format(0, 300) + "os.kill(os.getpid(), 9)", tmp_path / "first", uid=uid, TAILRACE_URL=NOBODY)
    done = train(
        program.format(200, 500) + "assert run.flush(60), run.status()",
        tmp_path / "second",
        uid=uid,
        TAILRACE_URL=served.url,
    )
    assert done.returncode == 0, done.stderr
    flushed(tmp_path / "second", served.url)
    assert flushed(tmp_path / "first", served.url, "--from", NOBODY).returncode == 0
    steps = [step for step, _ in history(served, uid, "loss")]
    assert sorted(steps) == sorted([*range(300), *range(200, 500)])
    assert run_of(served, uid)["status"] == "FINISHED"


FORKED = """
run = tracker.start_run(run_id=uid)
tracker.log_metrics({"parent": 0.0}, step=0)
children = []
for number in range(4):
    child = os.fork()
    if child == 0:
        for step in range(200):
            tracker.log_metrics({f"child{number}": float(step)}, step=step)
        os._exit(0)
    children.append(child)
for step in range(1, 200):
    tracker.log_metrics({"parent": float(step)}, step=step)
for child in children:
    os.waitpid(child, 0)
run.end()
os._exit(0)
"""


def test_forked_processes_log_into_files_of_their_own(served, tmp_path):
    uid = new_uid()
    done = train(FORKED, tmp_path, uid=uid, TAILRACE_URL=served.url)
    assert (done.returncode, done.stderr) == (0, "")
    assert flushed(tmp_path, served.url).returncode == 0
    for key in ("parent", *(f"child{number}" for number in range(4))):
        assert history(served, uid, key) == [(step, float(step)) for step in range(200)], key
    assert run_of(served, uid)["status"] == "FINISHED"
    assert files(tmp_path) == []


def test_many_ranks_log_to_one_run(served, tmp_path):
    """Their processes end before the server is there; one flush sends all files."""
    uid = new_uid()
    program = """
run = tracker.start_run(run_id=uid)
for rank in range(64):
    if os.fork() == 0:
        run.log_metrics({"loss": float(rank)}, step=rank)
        os._exit(0)
for rank in range(64):
    os.wait()
os.kill(os.getpid(), 9)
"""
    train(program, tmp_path, uid=uid, TAILRACE_URL=served.url)
    assert len(files(tmp_path)) >= 64
    assert flushed(tmp_path, served.url).returncode == 0
    assert sorted(history(served, uid, "loss")) == [(rank, float(rank)) for rank in range(64)]


def test_a_training_that_runs_keeps_its_file_and_sends_it_itself(served, tmp_path):
    tracker = ExperimentTracker.create("tailrace", ExperimentConfig(name="melts"), url=served.url, spool=tmp_path)
    with tracker.start_run() as run:
        tracker.log_metrics({"loss": 1.0}, step=0)
        done = flush_runs(str(tmp_path / "tracking"), 30)
        assert (done.files, done.left, done.busy, done.sent) == (1, 1, 1, 0)
        assert run.flush(30)
    assert run.flush(30)
    assert history(served, run.id, "loss") == [(0, 1.0)]


def test_what_was_not_sent_in_time_is_handed_over_at_the_end(served, tmp_path, monkeypatch):
    """The end of the program waits for nothing; a process of its own sends the rest."""
    monkeypatch.delenv("TAILRACE_TRACKING_HANDOVER")
    uid = new_uid()
    program = "tracker._wait = 0\nwith tracker.start_run(run_id=uid): tracker.log_metrics({'loss': 0.5}, step=3)"
    from tests.client.running import environment
    from tests.client.trainings import BEGIN

    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", BEGIN + program, "tailrace", str(tmp_path), uid],
        env=environment(TAILRACE_URL=served.url), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    deadline = time.monotonic() + 60
    while files(tmp_path) and time.monotonic() < deadline:
        threading.Event().wait(0.05)
    assert history(served, uid, "loss") == [(3, 0.5)]
    assert run_of(served, uid)["status"] == "FINISHED"


def test_everything_of_a_run_arrives(served, tmp_path):
    from tailrace.tracking import NeuralDFTMetrics

    large = tmp_path / "large.bin"
    large.write_bytes(os.urandom(9_000_000))  # two parts
    folder = tmp_path / "folder"
    (folder / "inner").mkdir(parents=True)
    (folder / "inner" / "note.txt").write_text("hello")
    config = ExperimentConfig(
        name="dft", physics_domain="neural-dft", tags=["pde"], random_seed=7, description="a test"
    )
    tracker = ExperimentTracker.create("tailrace", config, url=served.url, spool=tmp_path / "spool")
    with tracker.start_run("named", params={"lr": 0.1}) as run:
        tracker.log_metrics({"odd": float("nan")}, step=1)
        tracker.log_metrics({"odd": float("-inf")}, step=0)
        tracker.log_physics_metrics(NeuralDFTMetrics(functional_type="DM21", chemical_accuracy=0.8), step=5)
        tracker.log_artifact(large)
        tracker.log_artifact(folder, "more")
        tracker.link(model="runtime", at=120)
        tracker.log_params({"lr": 0.2})
    assert run.flush(60), run.status()
    found = run_of(served, run.id)
    assert (found["name"], found["experiment"], found["status"]) == ("named", "dft", "FINISHED")
    assert (found["params"]["lr"], found["params"]["random_seed"], found["tags"]["pde"]) == ("0.1", "7", "true")
    assert sorted(history(served, run.id, "odd")) == [(0, "-Infinity"), (1, "NaN")]
    assert history(served, run.id, "neural_dft/chemical_accuracy") == [(5, 0.8)]
    assert history(served, run.id, "neural_dft/check.chemical_accuracy") == [(5, 1.0)]
    _, listed = served.get(f"/api/v1/runs/{run.id}/artifacts/")
    assert {one["path"] for one in listed["artifacts"]} == {"large.bin", "more"}
    assert all(one.get("stored", True) for one in listed["artifacts"])
    status = run.status()["tailrace"]
    assert (status.kept, status.refused, status.uploads) == (0, 1, 0)
    assert "lr" in status.reasons[0]
    assert "'0.1'" in status.reasons[0]


def test_a_token_that_expires_keeps_the_lines_until_there_is_another(tmp_path_factory, tmp_path):
    with serving.fresh_database("expired") as database:
        server = serving.Server(
            tmp_path_factory.mktemp("expired") / "var", database, workers=1, threads=4, auth="required"
        ).start()
        try:
            token = tmp_path / "token"
            token.write_text("tr_expired\n")
            tracker = ExperimentTracker.create(
                "tailrace", ExperimentConfig(name="melts"), url=server.url, token_file=token, spool=tmp_path
            )
            run = tracker.start_run()
            tracker.log_metrics({"loss": 0.5}, step=1)
            waited = time.monotonic() + 60
            while not run.status()["tailrace"].trouble and time.monotonic() < waited:
                threading.Event().wait(0.05)
            assert "401" in run.status()["tailrace"].trouble
            assert run.status()["tailrace"].refused == 0
            made = server.manage("create_token", "ada", "--create-user", "--role", "researcher", "--name", "t")
            token.write_text(made.stdout.strip())
            for job in run._writer._jobs:
                job.next_at = 0.0  # not after the pause
            assert run.flush(60), run.status()
            run.end()
        finally:
            server.kill()


@pytest.mark.parametrize(
    "behaviour",
    [
        replies(answer("200 OK", HTML)),
        replies(answer("200 OK", b"[1, 2]", "Content-Type: application/json")),
        replies(answer("200 OK", b'{"next": "soon"}')),
        replies(answer("500 Oops", b"{}")),
        replies(answer("302 Found", b"", "Location: http://elsewhere/")),
        replies(answer("404 Not Found", HTML)),
        replies(b"SSH-2.0-OpenSSH\r\n"),
        half_closing,
    ],
    ids=["html", "list", "odd next", "500", "redirect", "404", "ssh", "half"],
)
def test_nonsense_from_one_back_end_is_kept_for_it_and_delays_nothing(served, tmp_path, behaviour):
    with listening(behaviour) as odd:
        tracker = ExperimentTracker.create(
            ["tailrace", "mlflow"], ExperimentConfig(name="melts"), url=served.url, tracking_uri=odd.url, spool=tmp_path
        )
        with tracker.start_run() as run:
            for step in range(50):
                tracker.log_metrics({"loss": 1.0}, step=step)
            assert odd.heard.wait(60)
            deadline = time.monotonic() + 60
            while not (run.status()["mlflow"].trouble and not run.status()["tailrace"].kept):
                assert time.monotonic() < deadline, run.status()
                threading.Event().wait(0.02)
            status = run.status()
        assert (status["mlflow"].sent, status["mlflow"].kept) == (0, status.logged)
        assert len(history(served, run.id, "loss")) == 50
    assert len(files(tmp_path)) == 1


@pytest.mark.parametrize("behaviour", [silent, trickling], ids=["silent", "trickling"])
def test_a_back_end_that_never_answers_does_not_hold_the_end(tmp_path, behaviour):
    with listening(behaviour) as mute:
        tracker = ExperimentTracker.create("tailrace", ExperimentConfig(name="melts"), url=mute.url, spool=tmp_path)
        run = tracker.start_run()
        tracker.log_metrics({"loss": 1.0})
        assert mute.heard.wait(60)
        waits = []
        for job in run._writer._jobs:
            job.complete.wait = waits.append  # what the end of the run waits for
        run.end()
    assert sum(waits) <= 0.05
    assert len(files(tmp_path)) == 1


def test_flush_says_what_is_left_and_why(tmp_path):
    uid = new_uid()
    train(KILLED.replace(str(POINTS), "10"), tmp_path, uid=uid, TAILRACE_URL=NOBODY)
    ended = command("flush", "--spool", str(tmp_path), "--json", environ={"TAILRACE_URL": NOBODY})
    assert ended.returncode == 1
    assert json.loads(ended.stdout)["runs"] == {"sent": 0, "refused": 0, "files": 1, "waiting": 1, "busy": 0}
    assert f"{NOBODY}: " in ended.stderr
    assert "connection refused" in ended.stderr
    assert command("flush", "--spool", str(tmp_path), "--run", new_uid()).returncode == 0
