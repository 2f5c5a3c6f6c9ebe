"""Many rows posted at once, from a file or a frame: each once, however often, and never less than all that can be."""

import itertools
import json
import logging
import os
import pty

import pandas
import pytest
from tailrace import progress
from tailrace.client import Client
from tailrace.errors import Unusable

from tests.client.listeners import answer, listening, replies
from tests.client.running import NOBODY, command, logged, receipt

pytestmark = pytest.mark.one_database

NUMBERS = itertools.count(1)
ROWS = "x,y,loop_time\n8,1,2.5\n16,2,5\n8,1,2.5\n4,,1.5\n"
LOGGED = [({"x": 8, "y": 1}, 2.5), ({"x": 16, "y": 2}, 5), ({"x": 8, "y": 1}, 2.5), ({"x": 4}, 1.5)]


@pytest.fixture
def stream(served):
    """The name of a new stream."""
    return f"bulk-{next(NUMBERS)}"


def post(served, stream, file, *options):
    return command("post", stream, "--file", str(file), *options, "--url", served.url)


def points(served, stream):
    return [(one["x"], one["y"]) for one in logged(served, stream)]


def test_each_row_of_a_csv_counts_once_and_a_file_that_has_grown_goes_on(served, stream, tmp_path):
    file = tmp_path / "runs.csv"
    file.write_text(ROWS)
    done = post(served, stream, file, "--y", "loop_time", "--source", "cluster=c1")
    assert (done.returncode, done.stderr.count("\n")) == (0, 1)
    assert f"new stream {stream}: no model learns from it" in done.stderr
    assert done.stdout == f"tailrace: 4 posted to {stream}, 0 known before, 0 refused\n"
    assert points(served, stream) == LOGGED
    assert logged(served, stream)[0]["source"] == {"cluster": "c1"}
    file.write_text(ROWS + "2,1,0.5\n")
    again = post(served, stream, file, "--y", "loop_time", "--json")
    assert json.loads(again.stdout) == {"posted": 1, "known_before": 4, "refused": 0}
    assert points(served, stream) == [*LOGGED, ({"x": 2, "y": 1}, 0.5)]


@pytest.mark.parametrize("ending", ["csv", "ndjson"])
def test_an_exported_log_is_predicted_and_posted_as_it_is(served, stream, tmp_path, ending):
    client = Client(served.url, "")
    for n, y in ((1, 2.5), (2, 5.0), (3, 9.0)):
        client.post(stream, {"T": n, "pair": "Cu-Zr"}, y, key=f"k{n}", strict=True)
    client.create(f"on-{stream}", stream, "mean", backfill=False)
    client.stream(stream).retract(3, "wrong")
    file = client.stream(stream).export(tmp_path / f"log.{ending}")
    predicted = command("predict", f"on-{stream}", "--file", str(file), "--json", "--url", served.url)
    assert [json.loads(line)["x"] for line in predicted.stdout.splitlines()] == [
        {"T": n, "pair": "Cu-Zr"} for n in (1, 2, 3)
    ]
    assert len(client.model(f"on-{stream}").predict(client.stream(stream).to_frame())) == 3
    for _ in range(2):
        assert post(served, f"{stream}-copy", file).returncode == 0
    copied = logged(served, f"{stream}-copy")
    assert [(one["x"], one["y"], one["key"]) for one in copied] == [
        ({"T": n, "pair": "Cu-Zr"}, y, f"k{n}") for n, y in ((1, 2.5), (2, 5.0))
    ]


def test_what_a_csv_says_as_text_stays_text_where_the_stream_has_text(served, stream, tmp_path):
    Client(served.url, "").create_stream(
        stream, target="kind", kind="category", features={"lot": "category", "x": "number"}
    )
    file = tmp_path / "runs.csv"
    file.write_text("lot,x,kind,name\n45e7,1e1,a,1e6\n007,2,007,0x\n")
    assert post(served, stream, file, "--y", "kind", "--key", "name").returncode == 0
    assert [(one["x"], one["y"], one["key"]) for one in logged(served, stream)] == [
        ({"lot": "45e7", "x": 10}, "a", "1e6"), ({"lot": "007", "x": 2}, "007", "0x"),
    ]  # fmt: skip
    exported = Client(served.url, "").stream(stream).export(tmp_path / "log.csv")
    copy = f"{stream}-copy"
    Client(served.url, "").create_stream(
        copy, target="kind", kind="category", features={"lot": "category", "x": "number"}
    )
    assert post(served, copy, exported).returncode == 0
    assert [(one["x"], one["y"], one["key"]) for one in logged(served, copy)] == [
        ({"lot": "45e7", "x": 10}, "a", "1e6"), ({"lot": "007", "x": 2}, "007", "0x"),
    ]  # fmt: skip


def test_a_frame_is_posted_by_its_columns(served, stream):
    frame = pandas.DataFrame({"x": [8, 16, 8, 4], "y": [1, 2, 1, None], "t": [2.5, 5, 2.5, 1.5]})
    client = Client(served.url, "")
    assert client.post_frame(stream, frame, "t").data == {"posted": 4, "known_before": 0, "refused": []}
    assert points(served, stream) == LOGGED
    assert client.post_frame(stream, frame, "t")["known_before"] == 4
    client.post_frame(f"{stream}-copy", client.stream(stream).to_frame())
    assert points(served, f"{stream}-copy") == LOGGED
    with pytest.raises(Unusable, match="the frame has no column 'time': there are x, y, t"):
        client.post_frame(stream, frame, "time")
    with pytest.raises(Unusable, match="row 3 has no y"):
        client.post_frame(stream, frame)


def test_a_row_that_is_refused_is_named_and_the_others_go_on(served, stream, tmp_path):
    body = {"name": stream, "target": {"name": "t"}, "features": ["x"]}
    assert served.post("/api/v1/streams/", body)[0] == 201
    file = tmp_path / "runs.jsonl"
    lines = [{"x": {"x": n}, "y": n} for n in range(1200)]
    lines[700]["x"] = {"z": 1}
    file.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    done = post(served, stream, file)
    assert done.returncode == 4
    assert f"refused for good: {file}, line 701: " in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert points(served, stream) == [({"x": n}, n) for n in range(1200) if n != 700]


def test_after_an_interruption_the_same_command_goes_on(served, stream, tmp_path):
    file = tmp_path / "runs.jsonl"
    file.write_text("".join(f'{{"a": {n}, "y": {n}}}\n' for n in range(700)))
    away = answer("404 Not Found", b'{"error": {"code": "not_found", "message": "no stream"}}')
    with listening(replies(receipt(), away)) as listener:
        done = command("post", stream, "--file", str(file), "--url", listener.url)
    assert done.returncode == 1
    assert "not all was posted: " in done.stderr
    assert "the same command goes on from there" in done.stderr
    assert "1 posted" in done.stdout
    assert not (tmp_path / "spool").exists()
    assert post(served, stream, file).returncode == 0
    assert [y for _, y in points(served, stream)] == list(range(700))


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        ("x,t\n1,2\n", [], "runs.csv, line 2: it has no 'y', which is the target: name its column by --y"),
        ("x,y\n1,2,3\n", [], "runs.csv, line 2: it has more or fewer cells"),
        ("x,y\n1,nan\n", [], "runs.csv, line 2: y is nan"),
        ("x,y\n1,2\n", ["a=1"], "go with one observation, not with --file"),
        ("x,y\n1,2\n", ["--step", "2"], "go with one observation, not with --file"),
    ],
)
def test_a_file_that_can_not_be_posted_is_said_to_be(tmp_path, text, options, words):
    file = tmp_path / "runs.csv"
    file.write_text(text)
    done = command("post", "s", *options, "--file", str(file), "--url", NOBODY)
    assert done.returncode == 2
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_terminal_is_shown_how_far_it_is(served, stream, monkeypatch):
    master, terminal = pty.openpty()
    monkeypatch.setattr(progress, "PATIENCE", 0.0)
    with open(terminal, "w") as screen:
        monkeypatch.setattr("sys.stderr", screen)
        frame = pandas.DataFrame({"a": range(600), "y": range(600)})
        Client(served.url, "").post_frame(stream, frame)
        screen.write("end")
        screen.flush()
        said = b""
        while not said.endswith(b"end"):
            said += os.read(master, 65536)
    os.close(master)
    assert b"500 of 600" in said
    assert said.endswith(b"\x1b[Kend")


def test_a_script_is_told_what_was_not_delivered(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("TAILRACE_SPOOL", str(tmp_path))
    with caplog.at_level(logging.WARNING, "tailrace"):
        posted = Client(NOBODY, "").post("s", {"a": 1}, 2.0)
    assert posted.kept is not None
    (record,) = caplog.records
    assert record.getMessage().startswith("tailrace: not delivered to s: ")
    assert str(posted.kept) in record.getMessage()
