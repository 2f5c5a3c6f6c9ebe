"""Streams and their logs over the native API."""

import csv
import io
import json
import tracemalloc
from typing import Any

import pytest

from server.api.v1 import export
from server.streams import log
from server.streams.models import Batch, Stream
from server.streams.points import Point, Points, encoded
from tests.api_client import refused

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]

OBSERVATIONS = "/api/v1/streams/s/observations/"


def lines(response: Any) -> list[Any]:
    return [json.loads(line) for line in b"".join(response.streaming_content).splitlines()]


def rows(response: Any) -> list[dict[str, str]]:
    text = b"".join(response.streaming_content).decode()
    assert text.endswith("\r\n")
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_a_stream_is_made_with_all_it_declares(api):
    made = api.stream(
        "lammps-runtime", features={"x": "number", "kind": "category"}, segment="kind", description="Loop times"
    )
    assert made["target"] == {"name": "time", "unit": "s", "kind": "number"}
    assert made["features"] == {"x": "number", "kind": "category"}
    assert (made["segment"], made["head"], made["models"]) == ("kind", 0, [])
    assert api.ok("/api/v1/streams/lammps-runtime/") == made
    assert api.ok("/api/v1/streams/") == {"streams": [made]}


def test_the_answer_to_making_says_where_it_is(api):
    response = api.post("/api/v1/streams/", {"name": "s", "target": {"name": "y"}})
    assert api.get(response.headers["Location"]).json() == response.json()


@pytest.mark.parametrize(
    "target, kind",
    [
        ({"name": "t", "unit": "s"}, "number"),
        ({"name": "t"}, "any"),
        ({"name": "t", "unit": ""}, "any"),
        ({"name": "ok", "kind": "boolean"}, "boolean"),
        ({"name": "t", "unit": "K", "kind": "category"}, "category"),
    ],
)
def test_a_target_with_a_unit_is_a_number_unless_it_says_otherwise(api, target, kind):
    made = api.ok("/api/v1/streams/", {"name": "s", "target": target}, 201)
    assert made["target"]["kind"] == kind


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"target": {"name": "time", "unit": "ms"}}, "target.unit", "its target.unit is 's', not 'ms'"),
        ({"target": {"name": "loop_time", "unit": "s"}}, "target.name", "its target.name is 'time', not 'loop_time'"),
        ({"target": {"name": "time", "kind": "any"}}, "target.kind", "its target.kind is 'number', not 'any'"),
        ({"features": ["x"]}, "features", "its features is {'x': 'number', 'kind': 'category'}, not {'x': 'number'}"),
        ({"segment": "x"}, "segment", "its segment is 'kind', not 'x'"),
    ],
)
def test_a_stream_that_is_there_and_is_another_one_is_told_from_the_same(api, changes, field, words):
    declared = {"features": {"x": "number", "kind": "category"}, "segment": "kind"}
    api.stream("s", **declared)
    same = {"name": "s", "target": {"name": "time", "unit": "s"}}
    refused(api.post("/api/v1/streams/", {**same, **declared}), 409, "name", "name_taken")
    refused(api.post("/api/v1/streams/", {**same, "target": {"name": "time"}}), 409, "name", "name_taken")
    error = refused(api.post("/api/v1/streams/", {**same, **changes}), 409, field, "stream_differs")
    assert words in error["message"].replace('"', "'")


def test_a_stream_is_made_on_first_use(api):
    receipt = api.learn({"a": 1}, 2.5, stream="fresh")
    assert receipt.pop("new_stream")["name"] == "fresh"
    assert receipt == {"first": 1, "last": 1, "accepted": 1, "duplicates": 0, "models": {}}
    assert api.ok("/api/v1/streams/fresh/")["target"]["kind"] == "number"


def test_the_description_of_a_stream_can_be_changed_and_nothing_else(api):
    made = api.stream("s", description="Loop times")
    response = api.patch("/api/v1/streams/s/", {"description": "Loop times, s"})
    assert (response.status_code, response.json()) == (200, {**made, "description": "Loop times, s"})
    assert api.ok("/api/v1/streams/s/")["description"] == "Loop times, s"
    for body, field in (
        ({}, "description"),
        ({"description": 3}, "description"),
        ({"description": "x" * 10_001}, "description"),
        ({"description": "x", "target": {"name": "y"}}, "target"),
        ({"name": "t", "description": "x"}, "name"),
    ):
        refused(api.patch("/api/v1/streams/s/", body), 400, field)
    refused(api.patch("/api/v1/streams/t/", {"description": "x"}), 404, "stream")
    assert api.ok("/api/v1/streams/s/")["description"] == "Loop times, s"


def test_a_stream_that_was_never_used_can_be_deleted_and_its_name_used_again(api):
    api.stream("s")
    response = api.delete("/api/v1/streams/s/")
    assert (response.status_code, response.content) == (204, b"")
    refused(api.delete("/api/v1/streams/s/"), 404, "stream")
    assert api.stream("s")["head"] == 0


def test_a_stream_with_models_or_observations_is_not_deleted(api):
    api.stream("s")
    api.model("lin", "s")
    refused(api.delete("/api/v1/streams/s/"), 409, code="has_models")
    assert api.delete("/api/v1/models/lin/").status_code == 204
    api.learn({"a": 1}, 2.5)
    refused(api.delete("/api/v1/streams/s/"), 409, code="has_observations")
    assert api.ok("/api/v1/streams/s/")["head"] == 1


def test_a_stream_shows_its_head_counts_and_models(api):
    api.stream("s")
    api.model("lin", "s")
    for n in range(4):
        api.learn({"a": n}, n)
    api.ok(OBSERVATIONS + "2/retract/", {"reason": "wrong node"}, 202)
    shown = api.ok("/api/v1/streams/s/")
    assert shown["head"] == 4
    assert shown["counts"] == {"observations": 4, "retracted": 1, "models": 1}
    assert [(model["name"], model["flavor"], model["recipe"]) for model in shown["models"]] == [
        ("lin", "regression", "linear")
    ]


def test_streams_are_listed_in_as_many_queries_however_many_there_are(api, django_assert_max_num_queries):
    for n in range(5):
        api.stream(f"s{n}")
        api.model(f"m{n}", f"s{n}")
    with django_assert_max_num_queries(3):
        assert [stream["name"] for stream in api.ok("/api/v1/streams/")["streams"]] == [f"s{n}" for n in range(5)]


def test_an_observation_comes_back_with_all_that_is_known_of_it(api):
    api.stream("s")
    api.model("lin", "s")
    api.learn({"a": 1, "label": True}, 2.5, key="job-1", source={"job": 17, "user": "ada"})
    identifier = api.ok("/api/v1/models/lin/predict/", {"x": {"a": 2, "label": False}, "track": True})["identifier"]
    api.ok(f"/api/v1/predictions/{identifier}/label/", {"y": 0})
    first, second = api.ok(OBSERVATIONS)["observations"]
    assert first.pop("at") < second.pop("at")
    assert first == {
        "seq": 1,
        "x": {"a": 1, "label": True},
        "y": 2.5,
        "key": "job-1",
        "source": {"job": 17, "user": "ada"},
        "predictions": {"lin": 0.0},
    }
    assert (second["seq"], second["y"], second["identifier"], second["key"]) == (2, 0, identifier, None)


def test_an_identifier_may_hold_a_slash(api):
    api.stream("s")
    api.model("lin", "s")
    api.ok("/api/v1/models/lin/predict/", {"x": {"a": 1}, "identifier": "cluster/job 17"})
    assert api.ok("/api/v1/predictions/cluster%2Fjob%2017/label/", {"y": 1}, 200)["first"] == 1


def test_the_log_is_read_in_pages(api):
    api.ok(OBSERVATIONS, {"observations": [{"x": {"a": n}, "y": n} for n in range(1, 251)]})
    seen: list[int] = []
    after: int | None = 0
    while after is not None:
        page = api.ok(f"{OBSERVATIONS}?after={after}&limit=40")
        assert page["head"] == 250
        seen += [one["seq"] for one in page["observations"]]
        after = page["next"]
    assert seen == list(range(1, 251))
    assert len(api.ok(OBSERVATIONS)["observations"]) == 100
    assert api.ok(f"{OBSERVATIONS}?after=250") == {"stream": "s", "head": 250, "next": None, "observations": []}
    assert api.ok(f"{OBSERVATIONS}?after=9999")["observations"] == []


def test_numbers_come_back_bit_for_bit_in_every_form(api):
    values = [0.1 + 0.2, 5e-324, 1.7976931348623157e308, -0.0, 2**53 + 1, 1e22]
    api.ok(OBSERVATIONS, {"observations": [{"x": {"a": value}, "y": value} for value in values]})
    assert [one["x"]["a"] for one in api.ok(OBSERVATIONS)["observations"]] == values
    assert [one["y"] for one in lines(api.get(OBSERVATIONS + "?format=ndjson"))] == values
    assert [
        type(value)(row["x.a"]) for row, value in zip(rows(api.get(OBSERVATIONS + "?format=csv")), values, strict=True)
    ] == values


def test_ndjson_and_csv_hold_the_whole_log_in_order(api):
    count = 1203
    for low in range(0, count, 401):
        api.ok(OBSERVATIONS, {"observations": [{"x": {"a": n}, "y": n} for n in range(low + 1, low + 402)]})
    whole = lines(api.get(OBSERVATIONS, Accept="application/x-ndjson"))
    assert [one["seq"] for one in whole] == list(range(1, count + 1))
    assert whole[:100] == api.ok(OBSERVATIONS)["observations"]
    table = rows(api.get(OBSERVATIONS, Accept="text/csv"))
    assert [(int(row["seq"]), float(row["y"]), float(row["x.a"])) for row in table] == [
        (n, n, n) for n in range(1, count + 1)
    ]
    part = lines(api.get(OBSERVATIONS + "?format=ndjson&after=400&limit=3"))
    assert [one["seq"] for one in part] == [401, 402, 403]


@pytest.mark.parametrize(
    "accept, expected",
    [
        ("application/x-ndjson", "application/x-ndjson; charset=utf-8"),
        ("text/csv", "text/csv; charset=utf-8"),
        ("text/csv;q=0.5, application/x-ndjson", "application/x-ndjson; charset=utf-8"),
        ("*/*", "application/json"),
        ("text/html", "application/json"),
        ("application/json", "application/json"),
    ],
)
def test_the_form_is_the_one_that_is_preferred(api, accept, expected):
    api.learn({"a": 1}, 1)
    response = api.get(OBSERVATIONS, Accept=accept)
    assert response.headers["Content-Type"] == expected


def test_csv_has_a_column_for_every_feature_that_occurs_and_quotes_what_needs_it(api):
    awkward = 'a "quoted", comma\r\nand a line'
    api.stream("s")
    api.learn({"b": 1, "a": awkward}, 1, key='k,"1"', source={"job": 1})
    api.learn({"c": True, "b": "=1+1"}, 2)
    api.ok(OBSERVATIONS + "2/retract/", {"reason": "typo, sorry"}, 202)
    first, second = rows(api.get(OBSERVATIONS + "?format=csv"))
    assert list(first) == ["seq", "at", "y", "key", "source", "retracted", "x.b", "x.a", "x.c"]
    assert (first["x.a"], first["key"], first["x.c"], first["retracted"]) == (awkward, 'k,"1"', "", "")
    assert json.loads(first["source"]) == {"job": 1}
    assert (second["x.c"], second["x.b"], second["x.a"]) == ("true", "=1+1", "")
    assert second["retracted"] == "typo, sorry"


def test_csv_for_a_spreadsheet_holds_no_formula_and_every_number(api):
    api.ok("/api/v1/streams/", {"name": "s", "target": {"name": "y"}}, 201)
    formulas = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", '=cmd|"/c calc"!A1', "＝1+1"]
    for formula in formulas:
        api.learn({"a": formula, "=b": -1.5, "c": True}, formula, key=formula, source={"=1": "=1"})
    api.learn({"a": "plain - text", "=b": -1e-300}, -2, key="k")
    api.ok(OBSERVATIONS + "1/retract/", {"reason": "=1+1"}, 202)
    plain, safe = (rows(api.get(OBSERVATIONS + f"?format=csv{more}")) for more in ("", "&safe=excel"))
    for row, guarded, formula in zip(plain, safe, formulas, strict=False):
        for column in ("y", "key", "x.a"):
            assert (row[column], guarded[column]) == (formula, f"'{formula}")
    for row, guarded in zip(plain, safe, strict=True):
        assert all(row[name] == guarded[name] for name in ("seq", "at", "source", "x.c"))
        assert row["x.=b"] == guarded["x.=b"] in ("-1.5", "-1e-300")
        assert not any(cell.startswith(("=", "+", "@", "\t", "\r", "\n", "＝")) for cell in guarded.values())
    assert (plain[0]["retracted"], safe[0]["retracted"]) == ("=1+1", "'=1+1")
    assert (safe[-1]["y"], safe[-1]["x.a"]) == ("-2", "plain - text")
    assert not any(name.startswith("=") for name in safe[0])
    refused(api.get(OBSERVATIONS + "?format=csv&safe=word"), 400, "safe")


def test_csv_of_a_declared_stream_has_its_features_also_when_it_is_empty(api):
    api.stream("s", features=["x", "y", "z"])
    response = api.get(OBSERVATIONS + "?format=csv")
    assert b"".join(response.streaming_content) == b"seq,at,y,key,source,retracted,x.x,x.y,x.z\r\n"


def test_a_table_of_too_many_columns_is_refused_before_it_begins(api, monkeypatch):
    monkeypatch.setattr(export, "MOST_COLUMNS", 3)
    for n in range(4):
        api.learn({f"f{n}": 1}, 1)
    response = api.get(OBSERVATIONS + "?format=csv")
    assert (response.status_code, response.json()["error"]["code"]) == (400, "too_many_columns")


def test_what_is_appended_while_an_export_runs_is_not_in_it(api):
    for n in range(30):
        api.learn({"a": n}, n)
    chunks = iter(api.get(OBSERVATIONS + "?format=ndjson").streaming_content)
    begun = [next(chunks)]
    api.learn({"a": 99}, 99)
    assert len(b"".join([*begun, *chunks]).splitlines()) == 30


def test_an_export_takes_as_much_memory_for_a_long_log_as_for_a_short_one(api):
    stream = Stream.objects.get(pk=Stream.objects.create(name="long").pk)
    points = Points.of([Point({"a": n, "text": "x" * 800}, n) for n in range(5000)])
    at = log.moment("2026-11-21T00:00:00+00:00")

    def peak(upto: int) -> int:
        while stream.head < upto:
            log.append(stream.pk, stream.head, encoded(points.xs, points.ys), points.notes, at, {}, {})
            stream.refresh_from_db()
        tracemalloc.start()
        for _ in export.ndjson(stream, 0, upto):
            pass
        for _ in export.table(stream, export.csv_columns(stream, 0, upto), 0, upto):
            pass
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    short = peak(15_000)
    assert Batch.objects.count() >= 30
    assert peak(45_000) < 1.2 * short


def test_a_retracted_point_stays_in_the_log_marked_and_leaves_the_models(api, work):
    api.stream("s")
    api.model("avg", "s", "mean")
    for y in (1.0, 100.0, 3.0):
        api.learn({"a": 1}, y)
    answer = api.ok(OBSERVATIONS + "2/retract/", {"reason": "node was broken"}, 202)
    assert (answer["stream"], answer["seq"], answer["reason"], answer["models"]) == ("s", 2, "node was broken", ["avg"])
    work()
    assert api.ok("/api/v1/models/avg/predict/", {"x": {"a": 1}})["prediction"] == 2.0
    first, second, third = api.ok(OBSERVATIONS)["observations"]
    assert second["retracted"]["reason"] == "node was broken"
    assert "retracted" not in first
    assert "retracted" not in third
    again = api.ok(OBSERVATIONS + "2/retract/", {"reason": "another reason"}, 202)
    assert again["reason"] == "node was broken"
    assert api.ok("/api/v1/streams/s/")["counts"]["retracted"] == 1


def test_observations_in_ndjson_are_learned_as_one(api):
    body = b"\n".join(json.dumps({"x": {"a": n}, "y": n, "key": f"k{n}"}).encode() for n in range(3))
    receipt = api.post(OBSERVATIONS, body, "application/x-ndjson")
    assert (receipt.status_code, receipt.json()["accepted"]) == (201, 3)
    again = api.post(OBSERVATIONS, body, "application/x-ndjson").json()
    assert (again["first"], again["last"], again["accepted"], again["duplicates"]) == (1, 3, 0, 3)
