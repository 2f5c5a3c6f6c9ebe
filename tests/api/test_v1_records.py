"""Records over the native API: in buckets, and as files."""

import csv
import gc
import io
import json
import random
import tracemalloc
from collections import Counter

import numpy as np
import pyarrow.parquet
import pytest

from server.learning import registry
from server.learning.background import record_writer
from server.learning.models import Model, RecordBlock
from server.learning.records import exporting, storing
from server.learning.records.columns import BANDS
from server.learning.write_path import learn_points
from server.streams.models import Stream
from server.streams.points import Point
from tests.api_client import Api, refused
from tests.people import person, secret_of

pytestmark = pytest.mark.django_db(transaction=True)

RECORD, EXPORT = "/api/v1/models/m/record/", "/api/v1/models/m/record/export/"


@pytest.fixture(autouse=True)
def _nothing_known():
    record_writer._known.clear()
    record_writer._failed.clear()


def write() -> None:
    while record_writer.record_due():
        pass


def learn(count: int, stream: str = "s", seed: int = 1, segments: tuple = ("=1+1", "<b>ü</b>")) -> None:
    rng = random.Random(seed)
    some = [Point({"a": rng.random(), "k": rng.choice(segments)}, 10 * rng.random()) for _ in range(count)]
    for low in range(0, count, 500):
        learn_points.learn(Stream.objects.get(name=stream).pk, some[low : low + 500])


@pytest.fixture
def fed(api: Api) -> Api:
    """A stream with a model of run times, 300 recorded observations in two segments with odd names, and 5 not recorded yet."""
    api.stream("s", segment="k")
    api.model("m", "s", "runtime")
    learn(300)
    write()
    learn(5, seed=2)
    return api


def test_a_model_that_comes_into_quarantine_as_its_turn_comes_waits_for_its_release(fed, monkeypatch):
    due = record_writer._due()
    Model.objects.filter(name="m").update(status=Model.QUARANTINED)
    monkeypatch.setattr(record_writer, "_due", lambda: due)
    assert len(due) == 1
    assert record_writer.record_due() == 0


def body(response) -> bytes:
    assert response.status_code == 200, response.content
    return b"".join(response.streaming_content)


def test_a_record_comes_in_buckets_and_says_how_far_behind_it_is(fed):
    found = fed.ok(f"{RECORD}?buckets=10")
    assert (found["first"], found["last"], found["head"], found["behind"]) == (1, 300, 305, 5)
    assert found["per_bucket"] == 30 and sum(found["count"]) == 300 and len(found["n"]) == 10
    assert set(found["error"]) == {"min", "max", "mean", "last"}
    part = fed.ok(f"{RECORD}?first=101&last=110&buckets=10")
    assert part["n"] == list(range(101, 111))
    own = fed.ok(f"{RECORD}?segment=%3Cb%3E%C3%BC%3C/b%3E")
    assert 0 < sum(own["count"]) < 300
    assert fed.ok(f"{RECORD}?segment=none")["n"] == []


def test_the_formats_hold_the_same_rows(fed):
    lines = [json.loads(line) for line in body(fed.get(f"{EXPORT}?format=ndjson")).splitlines()]
    assert [tuple(line) for line in lines] == [exporting.COLUMNS] * 300
    assert [line["n"] for line in lines] == list(range(1, 301))
    response = fed.get(EXPORT)
    assert response["X-Tailrace-First"], response["X-Tailrace-Last"] == ("1", "300")
    assert response["X-Tailrace-Behind"] == "5"
    assert response["Content-Disposition"] == 'attachment; filename="m-record.csv"'
    rows = list(csv.DictReader(io.StringIO(body(response).decode())))
    assert [{name: str(value) for name, value in row.items()} for row in rows] == [
        {name: "" if v is None else str(v).lower() if isinstance(v, bool) else str(v) for name, v in line.items()}
        for line in lines
    ]
    table = pyarrow.parquet.read_table(io.BytesIO(body(fed.get(f"{EXPORT}?format=parquet"))))
    assert table.schema.metadata[b"tailrace.unit"] == b"s"
    for row, line in zip(table.to_pylist(), lines, strict=True):
        at = row.pop("at")
        assert at.isoformat(timespec="microseconds") == line.pop("at")
        assert {name: row[name] for name in ("n", "segment", "y", "prediction", "scored", "skipped")} == {
            name: line[name] for name in ("n", "segment", "y", "prediction", "scored", "skipped")
        }
        assert [row[name] for name in BANDS] == [v if v is None else float(np.float32(v)) for v in map(line.get, BANDS)]
    assert lines[200]["lower"] <= lines[200]["q50"] <= lines[200]["q99"]


def test_a_range_is_exported_across_blocks_and_row_groups(fed, monkeypatch):
    monkeypatch.setattr(storing, "BLOCK", 64)
    monkeypatch.setattr(exporting, "ROW_GROUP", 2)
    storing.forget(Model.objects.get().pk)
    write()
    table = pyarrow.parquet.ParquetFile(io.BytesIO(body(fed.get(f"{EXPORT}?format=parquet&first=60&last=299"))))
    assert table.num_row_groups == 3
    assert table.read().column("n").to_pylist() == list(range(60, 300))
    assert body(fed.get(f"{EXPORT}?first=290&last=1000")).count(b"\r\n") == 1 + 305 - 289


def test_text_that_a_spreadsheet_would_run_is_escaped_if_asked(fed):
    plain = {row["segment"] for row in csv.DictReader(io.StringIO(body(fed.get(EXPORT)).decode()))}
    safe = {row["segment"] for row in csv.DictReader(io.StringIO(body(fed.get(f"{EXPORT}?safe=excel")).decode()))}
    assert (plain, safe) == ({"=1+1", "<b>ü</b>"}, {"'=1+1", "<b>ü</b>"})
    refused(fed.get(f"{EXPORT}?safe=excel&format=ndjson"), 400, "safe")


@pytest.mark.parametrize("kind", exporting.FORMATS)
def test_a_model_without_a_record_has_an_empty_one(api, kind):
    api.stream("s")
    api.model("m", "s")
    learn(3, segments=(1.0,))
    found = api.ok(RECORD)
    assert (found["first"], found["last"], found["behind"], found["n"]) == (1, 0, 3, [])
    content = body(api.get(f"{EXPORT}?format={kind}"))
    if kind == "parquet":
        assert pyarrow.parquet.read_table(io.BytesIO(content)).num_rows == 0
    else:
        assert content == ((",".join(exporting.COLUMNS) + "\r\n").encode() if kind == "csv" else b"")
    Model.objects.update(status=Model.FAILED)
    assert api.ok(RECORD)["behind"] == 3
    Model.objects.update(status=Model.BACKFILLING, live_since=3)
    assert api.ok(RECORD)["behind"] == 3
    assert body(api.get(f"{EXPORT}?format=ndjson")) == b""


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("first=0", "first"), ("first=x", "first"), ("first=9&last=3", "first"), ("last=-1", "last"), ("buckets=0", "buckets"),
        ("buckets=10001", "buckets"), ("nonsense=1", "nonsense"),
    ],
)  # fmt: skip
def test_what_is_no_range_is_refused(fed, query, field):
    refused(fed.get(f"{RECORD}?{query}"), 400, field)
    if "buckets" not in query:
        refused(fed.get(f"{EXPORT}?{query}"), 400, field)


def test_other_bad_requests_are_refused(fed):
    refused(fed.get(f"{EXPORT}?format=xlsx"), 400, "format")
    refused(fed.get("/api/v1/models/none/record/"), 404, "model")
    refused(fed.get("/api/v1/models/none/record/export/"), 404, "model")
    registry.delete("m")
    refused(fed.get(RECORD), 404, "model")
    fed.stream("plain")
    fed.model("p", "plain")
    refused(fed.get("/api/v1/models/p/record/?segment=a"), 400, "segment")


def test_a_damaged_record_is_refused_with_what_happens_next(fed):
    RecordBlock.objects.update(columns=b"nonsense")
    for path in (RECORD, EXPORT, f"{EXPORT}?format=parquet"):
        response = fed.get(path)
        if response.status_code == 200:  # what was found first has it made again
            assert fed.ok(RECORD)["behind"] == 305
            continue
        error = refused(response, 503, code="record_unreadable")
        assert "observations 1 to 4096" in error["message"] and "makes it again" in error["message"]
        assert response["Retry-After"] == "60"
    write()
    assert body(fed.get(EXPORT)).count(b"\r\n") == 306


@pytest.mark.parametrize(
    ("flavor", "targets"),
    [("binary", [True, False]), ("multiclass", ["=a", "<i>"]), ("cluster", [None]), ("neighbor", [1.0, 2.0]),
     ("custom", [1.0]), ("regression", [0.5])],  # no estimator of river fits creme
)  # fmt: skip
def test_every_flavor_has_a_record(api, flavor, targets):
    from river import cluster, dummy, linear_model, naive_bayes, neighbors

    estimator = {
        "binary": linear_model.LogisticRegression(), "multiclass": naive_bayes.GaussianNB(), "cluster": cluster.KMeans(2, seed=1),
        "neighbor": neighbors.KNNRegressor(), "custom": dummy.StatisticRegressor(__import__("river.stats").stats.Mean()),
        "regression": linear_model.LinearRegression(),
    }[flavor]  # fmt: skip
    model = registry.create("m", None, flavor, estimator)
    some = [Point({"x": float(n)}, targets[n % len(targets)]) for n in range(12)]
    learn_points.learn(model.stream_id, some)
    write()
    assert sum(api.ok(RECORD)["count"]) == 12
    lines = [json.loads(line) for line in body(api.get(f"{EXPORT}?format=ndjson")).splitlines()]
    wanted = [{True: "true", False: "false"}[p.y] if isinstance(p.y, bool) else p.y for p in some]
    assert [line["y"] for line in lines] == wanted
    assert any(line["prediction"] is not None for line in lines)
    table = pyarrow.parquet.read_table(io.BytesIO(body(api.get(f"{EXPORT}?format=parquet"))))
    assert table.column("y").to_pylist() == wanted
    assert table.column("prediction").to_pylist() == [line["prediction"] for line in lines]


def test_who_may_not_read_the_model_may_not_read_its_record(api, required):
    ada = person("ada")
    api.client.defaults["HTTP_AUTHORIZATION"] = f"Bearer {secret_of(ada)}"
    api.stream("s"), api.stream("t")
    api.model("m", "s")
    assert api.get(RECORD).status_code == 200
    del api.client.defaults["HTTP_AUTHORIZATION"]
    elsewhere = {"Authorization": f"Bearer {secret_of(ada, streams=['t'])}"}
    learns = {"Authorization": f"Bearer {secret_of(ada, scopes=['learn'])}"}
    for path in (RECORD, EXPORT):
        assert api.client.get(path).status_code == 401
        assert api.client.get(path, headers=elsewhere).status_code == 404
        assert api.client.get(path, headers=learns).status_code == 403


@pytest.mark.parametrize("kind", exporting.FORMATS)
def test_an_export_takes_as_much_memory_at_any_length(fed, kind, monkeypatch):
    """A slow reader holds some blocks, not the record."""
    monkeypatch.setattr(storing, "BLOCK", 64)
    monkeypatch.setattr(exporting, "ROW_GROUP", 2)
    monkeypatch.setattr("server.learning.records.reading.AT_ONCE", 2)
    storing.forget(Model.objects.get().pk)
    learn(6000)
    write()

    def peak(last: int) -> int:
        pieces = fed.get(f"{EXPORT}?format={kind}&last={last}").streaming_content
        next(iter(pieces))
        tracemalloc.start()
        try:
            for _ in pieces:
                pass
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(300)
    assert peak(6000) < (3 if kind == "parquet" else 1.5) * peak(1200)  # Parquet ends with an index of its row groups


def test_exports_of_records_count_among_the_exports(fed, monkeypatch):
    from server.api.v1 import export

    gc.collect()  # ends the exports of other tests that were not read to the end
    before = Counter(export.SLOTS.by_caller)
    answers = []
    for _ in range(100):
        answer = fed.get(EXPORT)
        if answer.status_code == 503:
            break
        answers.append(answer)
    assert answer.status_code == 503
    for one in answers:
        one.close()
    assert export.SLOTS.by_caller <= before


def test_a_server_without_pyarrow_says_what_to_ask_for_instead(fed, monkeypatch):
    monkeypatch.setattr(exporting, "find_spec", lambda name: None)
    answer = fed.get(f"{EXPORT}?format=parquet")
    assert answer.status_code == 409
    assert "ask for csv or ndjson" in answer.json()["error"]["message"]
