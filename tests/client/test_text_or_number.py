"""On a command line `commit=45e7` may be a number or a name: the stream decides, leading zeros and quotes do, and nothing is lost."""

import json
import math
import subprocess
import sys
from datetime import UTC, datetime

import numpy
import pytest
from tailrace.cli.arguments import parse_features, parse_source, parse_target
from tailrace.errors import Unusable
from tailrace.observations import text_values
from tailrace.observations.idempotency_keys import job_of
from tailrace.posting.post import make_observation, post

from server.core.validation import Checker
from server.streams import log, registry
from server.streams.points import Points, encoded
from server.streams.text_values import ObservedKinds, apply_texts
from tests.client.listeners import answer, listening, replies
from tests.client.running import NOBODY, body_of, command, environment
from tests.serving import ROOT


def features_of(served, stream):
    _, page = served.get(f"/api/v1/streams/{stream}/observations/?limit=1000")
    return [(one["x"], one["y"]) for one in page["observations"]]


def run(served, *arguments, **variables):
    done = command(*arguments, environ={"TAILRACE_URL": served.url, **variables})
    assert done.returncode == 0, done.stderr
    return done


def make(served, name, features=None, kind="number", recipe=None):
    body = {"name": name, "target": {"name": "y", "kind": kind}, "features": features}
    assert served.post("/api/v1/streams/", body)[0] == 201
    if recipe:
        assert served.post("/api/v1/models/", {"name": name, "stream": name, "recipe": recipe})[0] == 201


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("lot=007", "007"), ("lot=-08", "-08"), ("lot=00", "00"), ("lot=00.5", "00.5"), ("lot=01e3", "01e3"),
        ("steps=1e6", 1e6), ("x=0", 0), ("x=-0.5", -0.5), ("x=.5", 0.5), ("x=+5", 5), ("x=1.", 1.0), ("x=0e0", 0.0),
        ("commit=45e7", 4.5e8), ("commit='45e7'", "'45e7'"), ('commit="45e7"', "45e7"), ('commit:="45e7"', "45e7"),
        ("n:=8", 8), ("n:=1e3", 1000.0), ("ok:=true", True), ("ok=true", True), ('ok="true"', "true"), ("a=1_000", "1_000"),
        ('q="say \\"hi\\""', 'say "hi"'), ('e=""', ""),
        ("x= 8", 8), ("x=\t-8.5 ", -8.5), ("a= b", " b"), ("lot= 007", " 007"), ("u=\u0663", "\u0663"), ("a=b=c", "b=c"), ("h=0x10", "0x10"),
    ],
)  # fmt: skip
def test_what_is_given_is_read(given, found):
    (value,) = parse_features([given]).values()
    assert (value, type(value)) == (found, type(found))


@pytest.mark.one_database
@pytest.mark.parametrize(
    "given", ["x=nan", "x=-inf", "x=Infinity", "x=1e999", 'x="a', ":=3", "x:=", "x:={", 'x="a"b"', "x:=nan", "x="]
)
def test_what_can_not_be_meant_is_refused_by_name(given):
    if given == 'x="a':
        assert parse_features([given]) == {"x": '"a'}  # a text that begins with a quote is a text
        return
    with pytest.raises(Unusable, match=r"^(x is|x has no value|':=3' is not a feature)"):
        parse_features([given])


def test_a_target_that_seems_to_be_a_number_is_refused_unless_it_is_quoted():
    for given in ("2,5", "1.234,5", "#DIV/0!", "1.0D+03", "\u22121", "****"):
        with pytest.raises(Unusable, match=r"--y is .*: this seems to be"):
            parse_target(given)
    assert parse_target('"2,5"') == ("2,5", None)
    assert parse_target("Cu,Zr") == ("Cu,Zr", None)


def test_numbers_of_numpy_in_a_source_are_numbers():
    made = make_observation({"x": 1}, 1.0, source={"seed": numpy.int64(3), "job": "melt"})
    assert (made["source"], type(made["source"]["seed"])) == ({"seed": 3, "job": "melt"}, int)


def test_words_are_utf8_whatever_the_locale_and_other_bytes_do_not_lose_the_point(monkeypatch):
    word = b"m=\xc3\xa9 \xff".decode("utf-8", "surrogateescape")
    assert parse_features([word]) == {"m": "é \\xff"}
    assert job_of({"SLURM_JOB_ID": "7", "TAILRACE_CLUSTER": word[2:]}) == "slurm:é \\xff:7"
    monkeypatch.setattr(text_values.os, "fsencode", lambda text: text.encode("latin-1"))
    assert parse_features(["m=\xc3\xa9"]) == {"m": "é"}


def test_text_that_json_can_not_hold_is_refused_by_name():
    for x in ({"a": "\ud800"}, {"\udce9": 1}):
        with pytest.raises(Unusable, match=r"^(x\['a'\]|the name of a feature of x) is .*: expected text in Unicode"):
            make_observation(x, 1.0)


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"key": 5}, "key is 5: expected text"),
        ({"key": ""}, "key is empty: expected text"),
        ({"source": "melt-7"}, "source is 'melt-7': expected a mapping"),
        ({"deadline": "5"}, "deadline is '5': expected seconds"),
        ({"deadline": float("nan")}, "deadline is nan: expected seconds"),
    ],
)
def test_an_argument_of_another_type_is_refused_by_name(given, words):
    with pytest.raises(Unusable, match=words):
        post("s", {"x": 1}, 1.0, **given)


def test_where_a_point_came_from_is_kept_as_it_is_written():
    given = ["commit=45e7", "lot=007", "steps=1000", "ratio=0.50", "ok=true", 'tag="7"', "n:=5e1"]
    assert parse_source(given) == {
        "commit": "45e7", "lot": "007", "steps": 1000, "ratio": "0.50", "ok": True, "tag": "7", "n": 50.0,
    }  # fmt: skip


def test_a_stream_that_declares_text_gets_it_and_one_that_declares_numbers_gets_those(served):
    make(
        served,
        "declared",
        {"commit": "category", "lot": "category", "ok": "category", "steps": "number"},
        recipe="mean",
    )
    run(served, "post", "declared", "commit=45e7", "lot=7", "ok=true", "steps=1e6", "--y", "1")
    run(served, "post", "declared", "commit=1234567", "lot=007", "ok=no", "steps=010", "--y", "007.5")
    assert features_of(served, "declared") == [
        ({"commit": "45e7", "lot": "7", "ok": "true", "steps": 1e6}, 1),
        ({"commit": "1234567", "lot": "007", "ok": "no", "steps": 10}, 7.5),
    ]
    done = run(served, "predict", "declared", "commit=45e7", "lot=7", "ok=true", "steps=010", "--json")
    assert json.loads(done.stdout)["prediction"] == 4.25


def test_a_stream_that_always_had_text_gets_it(served):
    make(served, "always", kind="any")
    for commit, y in (("a1b2c3", "00af"), ("deadbeef", "cafe")):
        assert served.post("/api/v1/streams/always/observations/", {"x": {"commit": commit, "n": 1}, "y": y})[0] == 201
    run(served, "post", "always", "commit=45e7", "n=010", "new=45e7", "--y", "12e3")
    run(served, "post", "always", "commit=1234567", "n=2", "new=3", "--y", "12")
    assert features_of(served, "always")[2:] == [
        ({"commit": "45e7", "n": 10, "new": 4.5e8}, "12e3"),
        ({"commit": "1234567", "n": 2, "new": 3}, "12"),
    ]


def test_points_of_a_file_and_late_labels_are_read_so_too(served, tmp_path):
    make(served, "filed", {"commit": "category", "n": "number"}, kind="category")
    recipes = served.get("/api/v1/recipes/")[1]["recipes"]
    recipe = next(one["name"] for one in recipes if one["flavor"] == "multiclass")
    body = {"name": "filed", "stream": "filed", "recipe": recipe}
    assert served.post("/api/v1/models/", body)[0] == 201
    assert served.post("/api/v1/streams/filed/observations/", {"x": {"commit": "a", "n": 1}, "y": "ok"})[0] == 201
    file = tmp_path / "points.csv"
    file.write_text("commit,n\n45e7,01\n007,2\n12,3\n")
    run(served, "predict", "filed", "--file", str(file))
    done = run(served, "predict", "filed", "commit=45e7", "n=01", "--track", "--json")
    identifier = json.loads(done.stdout)["identifier"]
    run(served, "label", identifier, "--y", "12e3")
    assert features_of(served, "filed")[-1] == ({"commit": "45e7", "n": 1}, "12e3")


def test_the_epilogue_and_what_is_flushed_later_do_the_same(served, tmp_path):
    make(served, "jobs", {"commit": "category", "x": "category", "processes": "number"})
    log = ROOT / "tests/lammps_jobs/fixtures/serial.log"
    given = ["--stream", "jobs", "--log", str(log), "commit=45e7", "x", "--source", "lot=007", "--spool", str(tmp_path)]
    for url in (NOBODY, served.url):
        subprocess.run(
            [sys.executable, "-m", "lammps_jobs.epilogue", *given, "--url", url],
            check=True,
            cwd=ROOT,
            env=environment(),
            timeout=60,
        )
    command("post", "jobs", "commit=0e1", "x=1", "processes=1", "--y", "1", "--url", NOBODY, "--spool", str(tmp_path))
    run(served, "flush", "--from", NOBODY, "--spool", str(tmp_path))
    found = features_of(served, "jobs")
    assert [x["commit"] for x, _ in found] == ["45e7", "0e1"]
    assert all(isinstance(x["x"], str) for x, _ in found)
    assert list((tmp_path / "refused").glob("*")) == [] if (tmp_path / "refused").exists() else True


def test_a_name_and_a_number_that_mean_the_same_are_two_observations(served):
    slurm = {"SLURM_JOB_ID": "7", "SLURM_CLUSTER_NAME": "text-or-number"}
    make(served, "twice", {"commit": "category"})
    for commit in ("45e7", "450000000.0", "450000000", "45e7"):
        run(served, "post", "twice", f"commit={commit}", "--y", "1", **slurm)
    assert [x["commit"] for x, _ in features_of(served, "twice")] == ["45e7", "450000000.0", "450000000"]


@pytest.mark.one_database
@pytest.mark.parametrize(
    "written",
    [
        5, [], {"z": {}}, {"x": 5}, {"x": None}, {"x": {"a": 1}}, {"y": 1}, {"x": {"a": "\x00"}}, {"x": {"a": "1" * 5000}},
    ],
    ids=str,
)  # fmt: skip
def test_texts_that_are_none_of_the_point_are_refused(served, written):
    path = "/api/v1/streams/lammps-runtime/observations/"
    point = {"x": {"a": 1}, "y": 1, "written": written}
    status, data = served.post(path, point)
    assert (status, data["error"]["field"].startswith("written")) == (400, True)
    status, data = served.post(path, {"observations": [{"x": {"a": 1}, "y": 1}, point]})
    assert status == 400
    status, data = served.post("/api/v1/models/mean/predict/", {"x": {"a": 1}, "written": written})
    assert (status, data["error"]["field"].startswith("written")) == (400, True)


def test_texts_change_nothing_where_the_stream_knows_nothing(served):
    point = {"x": {"a": 1, "b": "007"}, "y": 1, "written": {"x": {"a": "1", "b": "007", "no": "1"}, "y": "1"}}
    assert served.post("/api/v1/streams/lammps-new/observations/", point)[0] == 201
    assert features_of(served, "lammps-new") == [({"a": 1, "b": "007"}, 1)]


@pytest.mark.parametrize("asking", ["predict", "walltime"])
def test_whatever_asks_a_model_sends_the_text_along(asking):
    told = {"prediction": 1.0, "at": 1, "interval": [0.5, 2.0]}
    with listening(replies(answer("200 OK", json.dumps(told).encode(), "Content-Type: application/json"))) as listener:
        command(asking, "m", "lot=007", "x=8", 'name="9"', "--url", listener.url)
        sent = body_of(listener.requests[0])
    assert (sent["x"], sent["written"]) == ({"lot": "007", "x": 8, "name": "9"}, {"x": {"lot": "007", "x": "8"}})


def test_features_that_no_observation_has_are_looked_for_once(monkeypatch):
    looks = []
    monkeypatch.setattr("server.streams.log.sample", lambda stream_id: looks.append(1) or [([{"a": "x"}], [1.0])])
    seen = ObservedKinds(1)
    assert [seen.kind(name) for name in ("a", *(f"new-{n}" for n in range(1000)))] == ["category"] + [None] * 1000
    assert len(looks) == 1


def test_a_large_batch_is_not_read_for_the_kinds_of_features(monkeypatch, db):
    stream = registry.create("wide")
    points = Points([{f"f{n}": "x" * 100 for n in range(3000)}], [1.0], {})
    log.append(stream.pk, 0, encoded(points.xs, points.ys), {}, datetime.now(UTC), {}, {})
    points = Points([{"a": "x"}], [2.0], {})
    log.append(stream.pk, 1, encoded(points.xs, points.ys), {}, datetime.now(UTC), {}, {})
    assert [xs for xs, _ in log.sample(stream.pk)] == [[{"a": "x"}]]


@pytest.mark.database
@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1, 2, 3], "number"),
        (["a", "b"], "category"),
        # Once two texts in a row made all numbers after them texts, for ever.
        ([1, 2, 3, 4, 5, "8,0", "NA"], None),
        ([1, 2, 3, 4, *("NA" for _ in range(20))], None),
        ([450000000.0, "b1", "c2", "d3"], "category"),
        ([450000000.0, *("a" for _ in range(20))], "category"),
        ([*("a" for _ in range(20)), 1, 2, 3], None),
    ],
)
def test_a_few_texts_among_numbers_do_not_turn_later_numbers_into_texts(db, values, kind):
    stream = registry.create("kinds")
    for number, value in enumerate(values):
        log.append(stream.pk, number, encoded([{"a": value}], [1.0]), {}, datetime.now(UTC), {}, {})
    assert ObservedKinds(stream.pk).kind("a") == kind
    assert len(list(log.sample(stream.pk))) == min(len(values), 2 * log.SAMPLED)


@pytest.mark.parametrize("text", ["1" + 400 * "0", str(2**64), str(-(2**63) - 1)])
def test_a_whole_number_that_can_not_be_stored_stays_what_it_was_sent_as(text):
    point = {"x": {"a": text}, "y": text}
    seen = ObservedKinds(1)
    seen._kinds, seen._looked = {"a": "number"}, math.inf
    apply_texts(point, {"x": {"a": text}, "y": text}, Checker(None, "number"), seen)
    assert point == {"x": {"a": text}, "y": text}
