"""Following models on a real server: no error missed, through restarts and kills, drift found and told."""

import csv
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from tailrace.errors import NotFound, Unreachable, Unusable
from tailrace.handles.client import Client
from tailrace.watch.error_table import ForeignTable
from tailrace.watch.watch import LogChanged, Watch

from tests.client.conftest import POINTS, STREAM, run_times
from tests.serving import PATIENCE, ROOT, Server

pytestmark = pytest.mark.one_database

PNG = b"\x89PNG\r\n"


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def slowed(count: int, after: int, by: float, seed: int = 3) -> list[dict]:
    """Run times of a machine that becomes slower by a factor after some of its jobs."""
    found = run_times(count, seed)
    for one in found[after:]:
        one["y"] *= by
    return found


def begin(server: Server, stream: str, *recipes: str) -> Client:
    """A stream and models named `<stream>-<recipe>`."""
    client = Client(server.url, "")
    client.create_stream(stream, "loop_time", "s")
    for recipe in recipes:
        client.create(f"{stream}-{recipe}", stream, recipe)
    return client


def post(server: Server, stream: str, observations: list[dict]) -> None:
    assert server.post(f"/api/v1/streams/{stream}/observations/", {"observations": observations})[0] == 201


# One look


def test_the_table_has_every_error_of_every_model_and_they_are_the_servers(served, tmp_path):
    client = Client(served.url, "")
    table = tmp_path / "drift.csv"
    news = Watch(client, ["runtime", "linear"], csv=table, plot=tmp_path / "drift.png").look()
    assert [(one.model, one.head, one.errors, one.unit) for one in news] == [
        ("runtime", POINTS, POINTS - 1, "s"), ("linear", POINTS, POINTS - 1, "s"),
    ]  # fmt: skip
    for model in ("runtime", "linear"):
        own = [row for row in rows(table) if row["model"] == model]
        assert [int(row["seq"]) for row in own] == list(range(1, POINTS + 1))
        log = list(client.stream(STREAM).observations())
        assert [float(row["prediction"]) for row in own] == [one["predictions"][model] for one in log]
        errors = [float(row["error"]) for row in own if row["error"]]
        metrics = client.model(model).metrics()
        assert sum(errors) / len(errors) == pytest.approx(metrics["MAE"], rel=1e-12)
        assert float(own[-1]["rolling_error"]) == pytest.approx(metrics.rolling["MAE"], rel=1e-12)
        assert own[0]["note"] == "nothing learned yet"
    assert (tmp_path / "drift.png").read_bytes().startswith(PNG)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["drift.csv", "drift.png"]


def test_models_of_several_streams_and_kinds_are_followed_together(served, tmp_path):
    client = begin(served, "several", "mean")
    client.create_stream("ended", "completed", kind="boolean")
    client.create("ended-logistic", "ended", "logistic")
    post(served, "several", [{"x": {"a": 1}, "y": float(n)} for n in range(5)])
    post(served, "ended", [{"x": {"a": n % 2}, "y": n % 2 == 0} for n in range(200)])
    watch = Watch(
        client, ["several-mean", "ended-logistic", "runtime"], csv=tmp_path / "d.csv", plot=tmp_path / "d.png"
    )
    several, ended, runtime = watch.look()
    assert (several.errors, ended.errors, ended.unit, runtime.errors) == (4, 200, "", POINTS - 1)
    assert {row["error"] for row in rows(tmp_path / "d.csv") if row["model"] == "ended-logistic"} == {"0.0", "1.0"}
    assert (tmp_path / "d.png").read_bytes().startswith(PNG)


def test_a_model_that_was_added_later_is_followed_from_where_it_began_to_predict(served, tmp_path):
    client = begin(served, "later", "mean")
    post(served, "later", run_times(30))
    client.create("later-linear", "later", "linear").wait(PATIENCE)
    post(served, "later", run_times(10, seed=8))
    Watch(client, ["later-linear", "later-mean"], csv=tmp_path / "d.csv").look()
    own = [row for row in rows(tmp_path / "d.csv") if row["model"] == "later-linear"]
    assert [int(row["seq"]) for row in own] == list(range(31, 41))
    assert all(row["error"] for row in own)


def test_an_empty_stream_is_watched_until_something_comes(served, tmp_path):
    client = begin(served, "hollow", "mean")
    watch = Watch(client, ["hollow-mean"], csv=tmp_path / "d.csv", plot=tmp_path / "d.png")
    assert watch.look()[0].errors == 0
    assert not (tmp_path / "d.csv").exists()
    assert (tmp_path / "d.png").read_bytes().startswith(PNG)
    post(served, "hollow", run_times(3))
    assert watch.look()[0].errors == 2
    assert len(rows(tmp_path / "d.csv")) == 3


# Going on


def test_a_watch_that_goes_on_writes_what_one_without_a_break_writes(served, tmp_path):
    client = begin(served, "broken", "runtime", "mean")
    every, broken = tmp_path / "every.csv", tmp_path / "broken.csv"
    models = ["broken-runtime", "broken-mean"]
    observations = slowed(160, 100, 1.6)
    for start in range(0, 160, 23):
        post(served, "broken", observations[start : start + 23])
        Watch(client, models, csv=broken).look()
    found = Watch(client, models, csv=every)
    found.look()

    def by_model(path: Path) -> list[dict[str, str]]:
        return sorted(rows(path), key=lambda row: (row["model"], int(row["seq"])))

    assert by_model(broken) == by_model(every)
    assert [row["seq"] for row in rows(broken) if row["alarm"]] == [
        str(n) for one in found.followers for n in one.alarms
    ]
    assert found.followers[0].alarms


def test_what_was_read_before_the_server_went_away_is_not_lost(served, tmp_path, monkeypatch):
    from tailrace.handles import log_reader

    client = Client(served.url, "")
    monkeypatch.setattr(log_reader, "PAGE", 50)
    sent = client.send

    def cut_off(method, path, *arguments, **options):
        if (options.get("query") or {}).get("after") == 50:
            raise Unreachable("gone")
        return sent(method, path, *arguments, **options)

    watch = Watch(client, ["runtime"], csv=tmp_path / "d.csv")
    monkeypatch.setattr(client, "send", cut_off)
    with pytest.raises(Unreachable):
        watch.look()
    assert len(rows(tmp_path / "d.csv")) == 50
    monkeypatch.setattr(client, "send", sent)
    watch.look()
    assert [int(row["seq"]) for row in rows(tmp_path / "d.csv")] == list(range(1, POINTS + 1))


def test_rows_of_other_models_stay_in_the_table(served, tmp_path):
    client = Client(served.url, "")
    Watch(client, ["linear"], csv=tmp_path / "d.csv").look()
    Watch(client, ["mean"], csv=tmp_path / "d.csv").look()
    Watch(client, ["linear", "mean"], csv=tmp_path / "d.csv").look()
    assert len(rows(tmp_path / "d.csv")) == 2 * POINTS


def test_another_log_another_file_and_another_writer_are_told(served, tmp_path):
    client = begin(served, "short", "mean")
    table = tmp_path / "d.csv"
    post(served, "short", run_times(4))
    first, second = Watch(client, ["short-mean"], csv=table), Watch(client, ["short-mean"], csv=table)
    first.look()
    with pytest.raises(ForeignTable, match="was changed by another program: is another watch writing it"):
        second.look()
    table.write_text(table.read_text().replace("short-mean,short,4,", "short-mean,short,9000,"))
    with pytest.raises(LogChanged, match="observation 9000 of stream short was read earlier, but its log ends at 4"):
        Watch(client, ["short-mean"], csv=table).look()
    table.write_text(table.read_text().replace("short-mean,short,", "short-mean,long,"))
    with pytest.raises(LogChanged, match="was on stream long, and is on short now"):
        Watch(client, ["short-mean"], csv=table).look()
    table.write_text("a,b\n1,2\n")
    with pytest.raises(ForeignTable, match="is not a table of drift: its first line must be model,stream"):
        Watch(client, ["short-mean"], csv=table).look()
    assert table.read_text() == "a,b\n1,2\n"


def test_a_damaged_line_of_the_table_is_named(served, tmp_path):
    table = tmp_path / "d.csv"
    Watch(Client(served.url, ""), ["mean"], csv=table).look()
    table.write_text(table.read_text().replace("mean,lammps-runtime,3,", "mean,lammps-runtime,three,"))
    with pytest.raises(ForeignTable, match=r"d\.csv, line 4: not a row of this table"):
        Watch(Client(served.url, ""), ["mean"], csv=table).look()


def test_a_model_that_is_not_there_has_no_error_or_goes_away_is_told(served):
    client = begin(served, "going", "mean")
    with pytest.raises(NotFound, match=r"did you mean 'runtime'\?"):
        Watch(client, ["runtme"]).look()
    from river import cluster

    client.create_stream("shapes", "shape", kind="any")
    client.create("clusters", "shapes", estimator=cluster.KMeans(seed=1))
    with pytest.raises(Unusable, match="of the flavor cluster, which has no error to follow"):
        Watch(client, ["clusters"]).look()
    watch = Watch(client, ["going-mean"])
    watch.look()
    client.model("going-mean").delete()
    with pytest.raises(NotFound, match="going-mean is no longer on stream going: it was deleted"):
        watch.look()


# The command


def watching(server: Server, *arguments: str, **options: object) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TAILRACE_")}
    environment |= {"PYTHONPATH": str(ROOT / "client"), "TAILRACE_URL": server.url}
    line = [sys.executable, "-m", "tailrace", "watch", *arguments]
    return subprocess.Popen(line, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def once(server: Server, *arguments: str) -> subprocess.CompletedProcess[str]:
    process = watching(server, *arguments)
    out, err = process.communicate(timeout=PATIENCE)
    return subprocess.CompletedProcess(arguments, process.returncode, out, err)


def wait_for(condition, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        threading.Event().wait(0.05)


def test_drift_of_a_machine_that_became_slower_is_marked_told_and_an_exit_code(served, tmp_path):
    begin(served, "slower", "runtime")
    post(served, "slower", slowed(200, 120, 1.5))
    table, picture = tmp_path / "d.csv", tmp_path / "d.svg"
    arguments = ["slower-runtime", "--once", "--csv", str(table), "--plot", str(picture), "--fail-on-drift"]
    done = once(served, *arguments)
    assert done.returncode == 3, done.stderr
    marked = [int(row["seq"]) for row in rows(table) if row["alarm"] == "drift"]
    assert len(marked) == 1
    assert 120 < marked[0] < 170
    assert f"slower-runtime: DRIFT at observation {marked[0]}" in done.stdout
    assert f"drift {marked[0]}" in re.sub(r"<!-- (.*?) -->", r"\1", picture.read_text())
    # It is known now: what was told once does not fail again.
    assert once(served, *arguments).returncode == 0


def test_without_the_option_drift_is_told_and_is_no_failure(served):
    begin(served, "told", "runtime")
    post(served, "told", slowed(200, 120, 1.5))
    done = once(served, "told-runtime", "--once", "--json")
    assert done.returncode == 0
    said = json.loads(done.stdout)
    assert said["alarms"] and said.items() >= {"model": "told-runtime", "head": 200, "unit": "s"}.items()


def test_it_survives_a_restart_of_the_server_and_misses_nothing(serve, tmp_path):
    server = serve(workers=1)
    begin(server, "runs", "mean")
    table = tmp_path / "d.csv"
    observations = run_times(60)
    post(server, "runs", observations[:20])
    process = watching(server, "runs-mean", "--every", "0.1", "--csv", str(table), "--until", "60")
    wait_for(lambda: table.exists() and len(rows(table)) == 20, process)
    server.kill()
    line = process.stderr.readline()
    assert "trying again every 0.1 s" in line
    server.start()
    for start in range(20, 60, 10):
        post(server, "runs", observations[start : start + 10])
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    assert "the server is back" in err
    assert [int(row["seq"]) for row in rows(table)] == list(range(1, 61))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly_with_whole_files(served, tmp_path, number):
    table, picture = tmp_path / "d.csv", tmp_path / "d.png"
    process = watching(served, "mean", "--every", "600", "--csv", str(table), "--plot", str(picture))
    assert "mean: observation" in process.stdout.readline()
    process.send_signal(number)
    _, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, err) == (0, "")
    assert len(rows(table)) == POINTS
    assert sorted(one.name for one in tmp_path.iterdir()) == ["d.csv", "d.png"]


def test_killed_at_any_instant_its_table_is_whole_and_the_next_watch_goes_on(serve, tmp_path):
    server = serve(workers=1)
    begin(server, "killed", "mean")
    table = tmp_path / "d.csv"
    chance = random.Random(1)
    for number in range(4):
        process = watching(server, "killed-mean", "--every", "0.01", "--csv", str(table))
        for seed in range(6):
            post(server, "killed", run_times(chance.randint(1, 30), seed=100 * number + seed))
        if number:
            wait_for(table.exists, process)
        process.kill()
        process.communicate()
    head = Client(server.url, "").stream("killed").head
    assert once(server, "killed-mean", "--once", "--csv", str(table)).returncode == 0
    assert [int(row["seq"]) for row in rows(table)] == list(range(1, head + 1))


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["runtme", "--once"], 1, "did you mean 'runtime'?"),
        ([], 2, "the following arguments are required: model"),
        (["runtime", "--until", "soon"], 2, "'soon' is not a count"),
        (["runtime", "--every", "0"], 2, "is not a time: expected seconds"),
        (["runtime", "--once", "--plot", "drift.xyz"], 2, "drift.xyz has no known picture format"),
        (["runtime", "--once", "--csv", "/nowhere/d.csv"], 1, "/nowhere/d.csv can't be written: No such file"),
        (["runtime", "--once", "--until", "3"], 2, "not allowed with argument"),
    ],
)
def test_what_is_wrong_is_one_line(served, arguments, code, said):
    done = once(served, *arguments)
    assert done.returncode == code
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
