"""The log on disk and in a frame: whole or not at all, at constant memory."""

import csv
import json
import tracemalloc

import pytest
from tailrace.atomic_files import NotWritten
from tailrace.errors import NotFound, Unreachable, Unusable
from tailrace.handles.client import Client

from tests.client.conftest import POINTS, STREAM, run_times
from tests.client.listeners import listening

pytestmark = pytest.mark.one_database


@pytest.fixture(scope="module")
def stream(served):
    return Client(served.url, "").stream(STREAM)


def test_json_lines_are_the_log(stream, tmp_path):
    path = stream.export(tmp_path / "runs.ndjson")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines == list(stream.observations())
    assert [one["y"] for one in lines] == [one["y"] for one in run_times()]


def test_csv_is_a_table_of_the_log(stream, tmp_path):
    path = stream.export(tmp_path / "runs.csv", after=100)
    rows = list(csv.DictReader(path.open(newline="")))
    assert [int(row["seq"]) for row in rows] == list(range(101, POINTS + 1))
    assert [float(row["y"]) for row in rows] == [one["y"] for one in run_times()[100:]]
    assert rows[0]["x.z"] == str(run_times()[100]["x"]["z"])


def test_a_table_for_a_spreadsheet_is_asked_for(served, tmp_path):
    stream = Client(served.url, "").create_stream("labels", "label")
    served.post("/api/v1/streams/labels/observations/", {"x": {"a": "=1+1", "b": -1.5}, "y": "+x"})
    (plain,) = csv.DictReader(stream.export(tmp_path / "plain.csv").open(newline=""))
    (safe,) = csv.DictReader(stream.export(tmp_path / "safe.csv", safe="excel").open(newline=""))
    assert (plain["x.a"], plain["x.b"], plain["y"]) == ("=1+1", "-1.5", "+x")
    assert (safe["x.a"], safe["x.b"], safe["y"]) == ("'=1+1", "-1.5", "'+x")
    with pytest.raises(Unusable, match="safe is for CSV"):
        stream.export(tmp_path / "runs.ndjson", safe="excel")


def test_a_frame_holds_the_log_with_its_predictions(stream):
    frame = stream.to_frame()
    log = list(stream.observations())
    assert list(frame.columns)[:8] == ["at", "y", "x.x", "x.y", "x.z", *sorted(
        (f"prediction.{name}" for name in ("linear", "mean", "runtime")),
        key=lambda name: list(log[0]["predictions"]).index(name.partition(".")[2]),
    )]  # fmt: skip
    assert list(frame.index) == list(range(1, POINTS + 1))
    assert frame["y"].tolist() == [one["y"] for one in log]
    assert frame["prediction.runtime"].tolist() == [one["predictions"]["runtime"] for one in log]
    assert str(frame["at"].dt.tz) == "UTC"
    assert "retracted" not in frame
    assert len(stream.to_frame(after=100, limit=5)) == 5


def test_an_empty_stream_is_an_empty_frame(served):
    stream = Client(served.url, "").create_stream("empty", "time", "s")
    assert len(stream.to_frame()) == 0
    assert stream.to_frame().index.name == "seq"


def test_the_ending_says_what_is_written(stream, tmp_path):
    with pytest.raises(Unusable, match=r"runs.txt has no known ending: expected .* \.csv, \.ndjson, \.jsonl"):
        stream.export(tmp_path / "runs.txt")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("before", [None, "what was there"])
def test_an_answer_that_breaks_off_leaves_no_half_of_a_file(tmp_path, before):
    path = tmp_path / "runs.csv"
    if before is not None:
        path.write_text(before)

    def behave(connection, number):
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/csv\r\nTransfer-Encoding: chunked\r\n\r\n"
        connection.sendall(head + b"10\r\nseq,at,y,key,sou\r\n")
        connection.close()

    with listening(behave) as listener, pytest.raises(Unreachable, match="the answer broke off"):
        Client(listener.url, "").stream("s").export(path)
    assert [one.read_text() for one in tmp_path.iterdir()] == ([] if before is None else [before])


def test_a_wrong_stream_and_a_wrong_place_are_named(served, stream, tmp_path):
    with pytest.raises(NotFound, match=r"did you mean 'lammps-runtime'\?"):
        Client(served.url, "").stream("lammps-runtim").export(tmp_path / "runs.csv")
    with pytest.raises(NotWritten, match=r"nowhere/runs.csv can't be written: No such file or directory"):
        stream.export(tmp_path / "nowhere" / "runs.csv")
    assert list(tmp_path.iterdir()) == []


def test_a_long_log_is_written_at_constant_memory(served, tmp_path):
    client = Client(served.url, "")
    client.create_stream("long", "time", "s")
    note = {"note": "n" * 200}
    for _ in range(4):
        body = {"observations": [{"x": {"a": n}, "y": 1.0, "source": note} for n in range(10_000)]}
        assert served.post("/api/v1/streams/long/observations/", body)[0] == 201
    tracemalloc.start()
    try:
        path = client.stream("long").export(tmp_path / "long.ndjson")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert path.stat().st_size > 10_000_000
    assert peak < 3_000_000
    with path.open() as lines:
        assert sum(1 for _ in lines) == 40_000
