"""Many rows posted at once, from a file or a frame: each once, however often, and never less than all that can be."""

import asyncio
import itertools
import json
import logging
import os
import pty
import re

import pandas
import pytest
from tailrace import AsyncClient
from tailrace.cli.observation_files import observations_in
from tailrace.display import progress_bar
from tailrace.errors import Unusable
from tailrace.handles.client import Client
from tailrace.posting import bulk
from tailrace.spool import delivery
from tailrace.spool.spool import Spool
from tailrace.transport.server import Server

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


def test_rows_with_the_same_key_and_other_values_are_named_and_not_dropped(served, stream, tmp_path):
    """Such as the steps of one job with the job's number as their key: the server would count the first only."""
    file = tmp_path / "runs.csv"
    file.write_text("job,x,y\n7,1,2\n7,1.0,2\n8,1,2\n7,1,3\n")
    done = post(served, stream, file, "--key", "job")
    assert done.returncode == 2
    assert "line 5: an earlier row with other values has the same key, '7': expected a key of its own" in done.stderr
    with pytest.raises(Unusable, match="row 1: an earlier row with other values has the same key, '7'"):
        Client(served.url).post_frame(stream, pandas.DataFrame({"job": [7, 7], "y": [1, 2]}), key="job")


@pytest.mark.parametrize(
    ("content", "options", "words"),
    [
        ("job,x,y\n7,1,-1\n7,1,-2\n", ["--key", "job"], "line 3: an earlier row with other values has the same key"),
        ("job,x,y\n7,true,3\n7,1,3\n", ["--key", "job"], "line 3: an earlier row with other values has the same key"),
        ("id,x,y\n7,1,-1\n", ["--key", "job"], "line 2: it has no key 'job': name the column of keys"),
        ('{"x": {"a": 1}, "y": 2, "id": 7}\n', ["--key", "job"], "line 1: it has no key 'job'"),
        ('{"x": {"a": 1}, "y": 2}\n', ["--y", "loop_time"], "line 1: it has no target 'loop_time'"),
        ("x,y\n1,2\nx,y\n3,4\n", [], "line 3: the header line again"),
        ("x,y\n1,1.5-105\n", [], "in Fortran's notation"),
        ("x,y\n1,-1.#IND\n", [], "a number that is not finite"),
        ("x,y\n1,-nan(ind)\n", [], "a number that is not finite"),
        ("x,y\n1,2\u00a0\n", [], "a number beside a character that is not seen"),
    ],
    ids=str,
)  # fmt: skip
def test_what_would_drop_double_or_change_a_row_is_refused(tmp_path, served, stream, content, options, words):
    file = tmp_path / "rows.txt"
    file.write_text(content)
    done = post(served, stream, file, *options)
    assert (done.returncode, words in done.stderr) == (2, True), done.stderr


def test_names_hold_for_objects_with_x_and_y_and_for_exported_logs(tmp_path):
    objects, log = tmp_path / "runs.ndjson", tmp_path / "log.csv"
    objects.write_text('{"x": {"a": 1}, "y": 2, "loop_time": 3, "job": "j7", "key": "k"}\n')
    log.write_text("at,y,x.a,loop_time,job\n2026-11-21,2,1,3,j7\n")
    for file in map(str, (objects, log)):
        (row,) = observations_in(file, "loop_time", "job")
        assert (dict(row.x), row.y, row.key) == ({"a": 1}, 3, "j7")


def test_what_was_retracted_for_whatever_reason_is_not_posted_again(tmp_path):
    file = tmp_path / "log.csv"
    reasons = ["0", "false", "0.0", "throttled", ""]
    file.write_text("at,y,x.a,retracted\n" + "".join(f"2026-11-21,{n},1,{why}\n" for n, why in enumerate(reasons)))
    assert [row.y for row in observations_in(str(file), "y", None)] == [4]


@pytest.mark.parametrize("mark", [";", "\t", "|"])
def test_columns_that_commas_do_not_separate_are_refused(served, stream, tmp_path, mark):
    """One column of such a name would be predicted, and learned."""
    file = tmp_path / "runs.csv"
    file.write_text(f"x{mark}y\n1{mark}2\n")
    for done in (post(served, stream, file, "--y", f"x{mark}y"), command("predict", "m", "--file", str(file))):
        assert done.returncode == 2
        assert f"the columns are separated by {mark!r}: expected commas" in done.stderr


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


def test_what_the_server_warns_of_is_said_once_each(served, stream, tmp_path, monkeypatch, caplog):
    """In requests of ten rows, in all of which the same is odd."""
    monkeypatch.setattr(bulk, "PER_REQUEST", 10)
    monkeypatch.setattr(delivery, "PER_REQUEST", 10)
    client = Client(served.url, "")
    client.create_stream(stream, target="t")
    usual = pandas.DataFrame({"x": [float(n) for n in range(100)], "y": [1.0] * 100})
    assert client.post_frame(stream, usual)["warnings"] == []
    odd = pandas.DataFrame({"x": [f"text {n}" for n in range(40)], "z": [1.0] * 40, "y": [2.0] * 40})
    with caplog.at_level("WARNING", "tailrace"):
        warnings = client.post_frame(stream, odd)["warnings"]
    said = "; ".join(warnings)
    assert said.count("x is ") + said.count("x: ") == 1, warnings
    assert [one.getMessage() for one in caplog.records] == [f"tailrace: {one}" for one in warnings]
    spool = Spool(tmp_path / "spool")
    for n in range(40):
        spool.put(stream, {"x": {"x": f"other {n}"}, "y": 1.0, "key": f"spooled {n}"})
    told = [one.warning for one in spool.flush(Server(served.url), deadline=60) if one.warning]
    assert len("; ".join(told).split("; ")) == len(set("; ".join(told).split("; ")))
    assert len(told) <= 1


def test_a_frame_is_posted_by_its_columns(served, stream):
    frame = pandas.DataFrame({"x": [8, 16, 8, 4], "y": [1, 2, 1, None], "t": [2.5, 5, 2.5, 1.5]})
    client = Client(served.url, "")
    sent = client.post_frame(stream, frame, "t").data
    (warning,) = sent.pop("warnings")
    assert warning.startswith(f"new stream {stream}: no model learns from it")
    assert sent == {"posted": 4, "known_before": 0, "refused": []}
    assert points(served, stream) == LOGGED
    assert client.post_frame(stream, frame, "t")["known_before"] == 4
    client.post_frame(f"{stream}-copy", client.stream(stream).to_frame())
    assert points(served, f"{stream}-copy") == LOGGED
    with pytest.raises(Unusable, match="the frame has no column 'time': there are x, y, t"):
        client.post_frame(stream, frame, "time")
    with pytest.raises(Unusable, match="row 3 has no y"):
        client.post_frame(stream, frame)


@pytest.mark.parametrize(
    ("columns", "named"),
    [
        (["a", "a", "y"], "'a'"),
        (["a", "y", "y"], "'y'"),
        ([1, "1", "y"], r"'1' \(1 and '1'\)"),
        (["key", "y", "key"], "'key'"),
        (["at", "y", "x.a", "x.a"], "'x.a'"),
    ],
)
@pytest.mark.parametrize("rows", [0, 1])
def test_two_columns_of_one_name_are_refused_before_anything_is_sent(columns, named, rows):
    frame = pandas.DataFrame([range(len(columns))] * rows, columns=columns)
    client = Client(NOBODY, "")
    with pytest.raises(Unusable, match=f"two columns named {named}: expected each name once"):
        client.post_frame("s", frame)
    with pytest.raises(Unusable, match=f"two columns named {named}: expected each name once"):
        client.model("m").predict(frame)
    with pytest.raises(Unusable, match=f"two columns named {named}: expected each name once"):
        asyncio.run(AsyncClient(NOBODY, "").post_frame("s", frame))


def test_whole_numbers_are_the_same_row_and_key_as_floats(served, stream):
    client = Client(served.url, "")
    frame = pandas.DataFrame({"a": [8, 9], "y": [1, 2], "id": [12, 13]})
    grown = pandas.DataFrame({"a": [8, 9, None], "b": [None, None, 1], "y": [1, 2, 2.5], "id": [12, 13, None]})
    for key, columns in (("id", ["a", "b", "y", "id"]), (None, ["a", "b", "y"])):
        here = f"{stream}-{key}"
        assert client.post_frame(here, frame[[name for name in columns if name != "b"]], key=key)["posted"] == 2
        again = client.post_frame(here, grown[columns], key=key)
        assert (again["posted"], again["known_before"], again["refused"]) == (1, 2, [])


def test_an_integer_that_no_float_holds_is_refused_by_name(served, stream):
    client = Client(served.url, "")
    frame = pandas.DataFrame({"a": [1, 10**5000], "y": [1, 2]}, dtype=object)
    with pytest.raises(Unusable, match=r"row 1: x\['a'\] is an integer of more than 308 digits"):
        client.post_frame(stream, frame)
    with pytest.raises(Unusable, match="y is an integer of more than 308 digits"):
        client.post(stream, {"a": 1}, 10**400)


def test_what_is_no_frame_is_refused():
    with pytest.raises(Unusable, match="the frame is a dict: expected a pandas DataFrame"):
        Client(NOBODY, "").post_frame("s", {"a": [1], "y": [2]})


def test_a_column_whose_name_is_a_number_is_found(served, stream):
    client = Client(served.url, "")
    frame = pandas.DataFrame({0: [1.0], 1: [2.0]})
    assert client.post_frame(stream, frame, y=1)["posted"] == 1
    assert points(served, stream) == [({"0": 1.0}, 2.0)]


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
    assert "not everything was posted: " in done.stderr
    assert "run the same command again to resume" in done.stderr
    assert "1 posted" in done.stdout
    assert not (tmp_path / "spool").exists()
    assert post(served, stream, file).returncode == 0
    assert [y for _, y in points(served, stream)] == list(range(700))


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        ("x,t\n1,2\n", [], "line 2: it has no target 'y': name the target's column with --y; the line has x, t"),
        ("x,y\n1,2,3\n", [], "runs.csv, line 2: it has more or fewer cells"),
        ("x,y\n1,nan\n", [], "runs.csv, line 2: y is nan"),
        ("a,a,y\n1,2,3\n", [], "runs.csv, line 1: the header has 'a' twice: expected each name once"),
        ("a,y,y\n1,2,3\n", [], "runs.csv, line 1: the header has 'y' twice: expected each name once"),
        ("a,y,,\n1,2,,\n3,4,5,6\n", [], "runs.csv, line 3: the cell '5' has no name in the header line"),
        (
            ",a,y\n0,1,2\n",
            [],
            "runs.csv, line 2: the cell '0' has no name in the header line: name its column or leave it out",
        ),
        (
            "a,y\n2,1\n#DIV/0!,2\n",
            [],
            "runs.csv, line 3: a is #DIV/0!: this seems to be an error of a spreadsheet; write text",
        ),
        ('a,y\n1,"2,5"\n', [], 'y is 2,5: this seems to be a number with commas; write text as """2,5"""'),
        ('a,y\n"1.234,5",2\n', [], "a is 1.234,5: this seems to be a number with commas"),
        ("a,y\n1.0D+03,2\n", [], "a is 1.0D+03: this seems to be a number in Fortran's notation"),
        ("a,y\n****,2\n", [], "a is ****: this seems to be a number that did not fit"),
        ("a,y\n\u22121.5,2\n", [], "this seems to be a number with a dash"),
        ("a,y\n1\u00a0000,2\n", [], "this seems to be a number with separated thousands"),
        ("PK\x03\x04\x14", [], "runs.csv is a spreadsheet or a ZIP archive: save it as CSV"),
        (
            'a,y\n1,2\n"b,3\n4,5\n',
            [],
            "runs.csv, line 3: not valid CSV (unexpected end of data): is a quote not closed?",
        ),
        ('a,y\n1,2\n"b,3\nc"d,5\n', [], "runs.csv, line 3: not valid CSV (',' expected after '\"')"),
        ('a,y\n1,2\n\n"b,3\nc",5\n', [], "runs.csv, line 4: a cell holds a line break: is a quote not closed?"),
        (f"a,y\n{'b' * 200_000},2\n", [], "runs.csv, line 2: not valid CSV (field larger than field limit"),
        ("x,y\n8,1\nNA,2\n", [], "runs.csv, line 3: x is NA, and 8 in line 2: leave the cell of a missing value empty"),
        ("x,y\nNone,1\n8.5,2\n", [], "runs.csv, line 2: x is None, and 8.5 in line 3: leave the cell"),
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


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"a": 1, "a": 2, "y": 3}', "an object has 'a' twice: expected each name once"),
        ('{"x": {"a": 1, "a": 2}, "y": 3}', "an object has 'a' twice: expected each name once"),
        ('{"a": 1, "y": 2, "y": 3}', "an object has 'y' twice: expected each name once"),
        ('{"x": ' + "[" * 100_000, "not valid JSON"),
    ],
    ids=["feature", "below x", "target", "depth"],
)
def test_a_line_of_json_that_says_a_name_twice_is_refused(tmp_path, line, words):
    file = tmp_path / "runs.ndjson"
    file.write_text('{"a": 1, "y": 1}\n' + line + "\n")
    for asking in (["post", "s"], ["predict", "m"]):
        done = command(*asking, "--file", str(file), "--url", NOBODY)
        assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
        assert f"runs.ndjson, line 2: {words}" in done.stderr


@pytest.mark.parametrize(
    ("ending", "text"),
    [("csv", "a,y\n1,2\n"), ("csv", '"a","y"\r\n1,2\r\n'), ("txt", "a,y\n1,2\n"), ("ndjson", '{"a": 1, "y": 2}\n')],
)
def test_a_byte_order_mark_is_skipped(served, stream, tmp_path, ending, text):
    file = tmp_path / f"runs.{ending}"
    file.write_bytes(text.encode("utf-8-sig"))
    assert post(served, stream, file).returncode == 0
    with file.open("rb") as given:
        again = command("post", stream, "--file", "-", "--json", "--url", served.url, stdin=given)
    assert json.loads(again.stdout) == {"posted": 0, "known_before": 1, "refused": 0}
    assert points(served, stream) == [({"a": 1}, 2)]


def test_columns_without_a_name_that_a_spreadsheet_left_behind_are_no_features(served, stream, tmp_path):
    file = tmp_path / "runs.csv"
    file.write_text("a,y,,\n1,2,,\n")
    assert post(served, stream, file).returncode == 0
    assert points(served, stream) == [({"a": 1}, 2)]


def test_blanks_around_a_cell_are_no_part_of_it(served, stream, tmp_path):
    file = tmp_path / "runs.csv"
    file.write_text('y, a , "b",c\n24, 8, "cu, zr", 9 \t\n\n 25,9 ,,NA\n')
    assert post(served, stream, file).returncode == 2
    file.write_text(file.read_text().replace("NA", ""))
    assert post(served, stream, file).returncode == 0
    assert points(served, stream) == [({"a": 8, "b": "cu, zr", "c": 9}, 24), ({"a": 9}, 25)]


def test_marks_of_missing_values_are_categories_in_a_column_of_categories(served, stream, tmp_path):
    file = tmp_path / "runs.csv"
    file.write_text("a,y\nNA,1\nEU,2\n")
    assert post(served, stream, file).returncode == 0
    assert points(served, stream) == [({"a": "NA"}, 1), ({"a": "EU"}, 2)]


def test_texts_that_only_look_a_little_like_numbers_stay_texts(served, stream, tmp_path):
    texts = ["Cu,Zr", "3d5", "2D", "a#1", "1-2", "10 %", "1.2.3", "*", "0x10", "12 K"]
    file = tmp_path / "runs.csv"
    file.write_text("a,y\n" + "".join(f'"{text}",1\n' for text in texts) + '"""2,5""",1\n')
    assert post(served, stream, file).returncode == 0
    assert [x["a"] for x, _ in points(served, stream)] == [*texts, "2,5"]


def test_numbers_of_a_frame_that_became_texts_are_named(served, stream):
    frame = pandas.DataFrame({"gpus": ["0,1", "2"], "y": [1, 2]})
    assert Client(served.url, "").post_frame(stream, frame).data["posted"] == 2
    for name, value in (("gpus", "#REF!"), ("gpus", "**"), ("y", "2,5")):
        with pytest.raises(Unusable, match=rf"row 0: {name} is '{re.escape(value)}': this seems to be"):
            Client(served.url, "").post_frame(stream, frame.assign(**{name: value}))


def test_a_file_without_rows_is_said_to_have_none(served, stream, tmp_path):
    file = tmp_path / "runs.csv"
    for text in ("", "x,y\n"):
        file.write_text(text)
        done = post(served, stream, file)
        assert (done.returncode, done.stderr) == (0, f"tailrace: {file} holds no observations\n")


def test_blanks_in_an_exported_log_stay(served, stream, tmp_path):
    client = Client(served.url, "")
    client.post(stream, {"note": " two ", "n": 1, "other": "-"}, 1.0, key="k", strict=True)
    file = client.stream(stream).export(tmp_path / "log.csv")
    assert post(served, f"{stream}-copy", file).returncode == 0
    assert points(served, f"{stream}-copy") == [({"note": " two ", "n": 1, "other": "-"}, 1)]


@pytest.mark.parametrize("ending", ["json", "txt"])
@pytest.mark.parametrize("text", ['[{"a": 1, "y": 2}]\n', '[{"a": 1, "y": 2},\n {"a": 2, "y": 2}]', "[\n]"])
def test_a_list_in_json_is_refused(tmp_path, ending, text):
    file = tmp_path / f"runs.{ending}"
    file.write_text(text)
    for asking in (["post", "s"], ["predict", "m"]):
        done = command(*asking, "--file", str(file), "--url", NOBODY)
        assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
        assert f"runs.{ending}, line 1: a list in JSON: expected one object per line" in done.stderr


def test_a_line_break_within_a_text_of_an_exported_log_is_part_of_it(served, stream, tmp_path):
    client = Client(served.url, "")
    client.post(stream, {"note": "two\nlines"}, 1.0, key="k", strict=True)
    file = client.stream(stream).export(tmp_path / "log.csv")
    assert post(served, f"{stream}-copy", file).returncode == 0
    assert points(served, f"{stream}-copy") == [({"note": "two\nlines"}, 1)]


def test_a_terminal_is_shown_how_far_it_is(served, stream, monkeypatch):
    master, terminal = pty.openpty()
    monkeypatch.setattr(progress_bar, "SHOW_AFTER", 0.0)
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
