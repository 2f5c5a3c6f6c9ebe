"""Server-sent events of both APIs: complete, in one order, resumable, the same from every worker."""

import itertools
import threading
import time
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction
from river import linear_model, multiclass

from server.api import events, ready_events
from server.learning import event_log
from server.learning.event_log import Position, Reader
from server.learning.models import Prediction
from server.streams.models import Stream
from tests.api_client import Api, Event, parsed, refused

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]

NATIVE, OLD, METRICS = "/api/v1/events/", "/api/stream/events/", "/api/stream/metrics/"


class Listener:
    """A client of an event stream that Django's test client answers."""

    def __init__(self, api: Api, path: str, last: str | None = None) -> None:
        self.response = api.get(path, **({} if last is None else {"Last-Event-ID": last}))
        assert self.response.status_code == 200, self.response.content
        assert self.response.headers["Content-Type"] == "text/event-stream"
        self.chunks = iter(self.response.streaming_content)
        self.waiting: list[Event] = []
        self.begun = b""
        next(self.chunks)  # the server is listening now

    def take(self, count: int) -> list[Event]:
        while len(self.waiting) < count:
            *whole, self.begun = (self.begun + next(self.chunks)).split(b"\n\n")  # a piece may end anywhere
            self.waiting += [parsed(part.decode()) for part in whole if part.strip(b":\n")]
        taken, self.waiting = self.waiting[:count], self.waiting[count:]
        return taken

    def close(self) -> None:
        self.response.close()


@pytest.fixture
def listen(api: Api) -> Iterator[Any]:
    opened: list[Listener] = []

    def start(path: str = NATIVE, last: str | None = None) -> Listener:
        opened.append(Listener(api, path, last))
        return opened[-1]

    yield start
    for listener in opened:
        listener.close()


def happen(api: Api) -> None:
    """A bit of everything: single points, a batch, kept predictions of two models, labels of both."""
    api.learn({"a": 1.0}, 1.0)
    api.ok("/api/v1/models/one/predict/", {"x": {"a": 5.0}, "identifier": "p1"})
    api.ok(
        "/api/v1/streams/s/observations/",
        {"observations": [{"x": {"a": float(n)}, "y": float(n)} for n in range(2, 6)]},
    )
    api.ok("/api/v1/models/one/predict/", {"x": {"a": 6.0}})  # is not kept, so it isn't told
    api.ok("/api/v1/models/two/predict/", {"x": {"a": 7.0}, "identifier": "p2"})
    api.ok("/api/v1/predictions/p2/label/", {"y": 7.0})
    api.learn({"a": 8.0}, 8.0, stream="other", key="k", source={"job": 1})
    api.ok("/api/v1/predictions/p1/label/", {"y": 0})


@pytest.fixture
def world(api: Api) -> Api:
    api.stream("s")
    api.stream("other")
    api.model("one", "s", "linear")
    api.model("two", "s", "mean")
    api.model("three", "other", "mean")
    return api


def test_the_native_api_tells_each_observation_and_each_kept_prediction_in_order(world, listen):
    listener = listen()
    happen(world)
    told = listener.take(10)
    assert [event.kind for event in told] == [
        "learn", "predict", "learn", "learn", "learn", "learn", "predict", "label", "learn", "label",
    ]  # fmt: skip
    first, prediction, *_ = told
    logged = world.ok("/api/v1/streams/s/observations/")["observations"]
    assert first.data == {
        "stream": "s", "seq": 1, "at": logged[0]["at"], "x": {"a": 1.0}, "y": 1.0, "predictions": {"one": 0.0, "two": 0.0},
    }  # fmt: skip
    assert {name: prediction.data[name] for name in ("stream", "model", "identifier", "x", "after")} == {
        "stream": "s", "model": "one", "identifier": "p1", "x": {"a": 5.0}, "after": 1,
    }  # fmt: skip
    assert [event.data["seq"] for event in told if event.data["stream"] == "s" and "seq" in event.data] == list(
        range(1, 8)
    )
    assert (told[8].data["key"], told[8].data["source"]) == ("k", {"job": 1})
    assert (told[9].data["identifier"], told[9].data["y"]) == ("p1", 0)
    assert told[9].data["predictions"]["one"] == prediction.data["prediction"]


def test_the_riverapi_protocol_tells_one_event_for_each_model_as_its_predecessor_did(world, listen):
    listener = listen(OLD)
    happen(world)
    told = listener.take(2 * 5 + 2 + 2 + 1 + 2)
    assert told[0][:2] == ("learn", {"model": "one", "features": {"a": 1.0}, "prediction": 0.0, "ground_truth": 1.0})
    assert told[1][:2] == ("learn", {"model": "two", "features": {"a": 1.0}, "prediction": 0.0, "ground_truth": 1.0})
    assert told[2].kind == "predict"
    assert set(told[2].data) == {"model", "features", "prediction"}
    kinds = [(event.kind, event.data["model"]) for event in told[-5:]]
    assert kinds == [("learn", "one"), ("label", "two"), ("learn", "three"), ("label", "one"), ("learn", "two")]


def test_an_event_stands_on_the_wire_as_its_predecessor_wrote_it(world):
    response = world.get(OLD)
    chunks = iter(response.streaming_content)
    assert next(chunks) == b"\n"  # the published client would hand on a comment
    world.learn({"a": 1.0}, 1.0, stream="other")
    told = b"".join(itertools.islice(chunks, 1))
    expected = b'event: learn\ndata: {"model":"three","features":{"a":1.0},"prediction":0.0,"ground_truth":1.0}\nid: '
    assert told.startswith(expected)
    response.close()


@pytest.mark.parametrize("path, count", [(NATIVE, 10), (OLD, 17), (METRICS, 15)])
def test_after_any_event_the_stream_goes_on_with_the_next(world, listen, path, count):
    listener = listen(path)
    happen(world)
    told = listener.take(count)
    assert len({event.id for event in told}) == count
    for n, last in enumerate(["0", *(event.id for event in told)]):
        resumed = listen(path, last)
        assert resumed.take(count - n) == told[n:]
        resumed.close()


@pytest.mark.parametrize(
    "query, expected",
    [
        ("type=predict", ["p1", "p2"]),
        ("type=label", [7.0, 0]),
        ("type=learn", [1.0, 2.0, 3.0, 4.0, 5.0, 8.0]),
        ("stream=other", [8.0]),
        ("stream=s&type=learn", [1.0, 2.0, 3.0, 4.0, 5.0]),
        ("model=three", [8.0]),
        ("model=two&type=predict", ["p2"]),
        ("model=two&stream=s", [1.0, 2.0, 3.0, 4.0, 5.0, "p2", 7.0, 0]),
    ],
)
def test_a_listener_hears_what_it_asks_for(world, listen, query, expected):
    listener = listen(f"{NATIVE}?{query}")
    happen(world)
    found = listener.take(len(expected))
    assert [event.data["y"] if "y" in event.data else event.data["identifier"] for event in found] == expected
    if "model" in query:
        name = query.partition("model=")[2].partition("&")[0]
        assert all(set(event.data.get("predictions", {name})) == {name} for event in found)


def test_a_filter_moves_on_over_what_it_leaves_out(world):
    start = event_log.now()
    happen(world)
    reader = Reader(start, stream_id=-1)
    wait = threading.Event()
    deadline = time.monotonic() + 60
    while reader.position == start and time.monotonic() < deadline:
        assert list(reader.read()) == []
        wait.wait(0.05)  # PostgreSQL: what began before, in another database even, may hold back what is settled
    assert reader.position > start


@pytest.mark.parametrize("flavor", ["regression", "multiclass"])
def test_told_metrics_are_those_after_that_very_observation(api, listen, flavor):
    if flavor == "regression":
        estimator, ys = None, [1.5, 2.5, 0.0, 4.0, 4.5, 6.0]
    else:
        estimator = multiclass.OneVsRestClassifier(linear_model.LogisticRegression())
        ys = ["red", "blue", "red", "green", "red", "blue"]
    api.upload("m", flavor, estimator)
    listener = listen(METRICS)
    expected = []
    for n, y in enumerate(ys[:4]):
        api.post("/api/learn/", {"model": "m", "features": {"a": float(n)}, "ground_truth": y})
        expected.append(api.ok("/api/metrics/?model=m"))
    identifier = api.ok("/api/predict/", {"model": "m", "features": {"a": 9.0}})["identifier"]
    for y in ys[4:]:
        api.post("/api/learn/", {"model": "m", "features": {"a": 1.0}, "ground_truth": y})
        expected.append(api.ok("/api/metrics/?model=m"))
    api.post("/api/label/", {"model": "m", "identifier": identifier, "label": ys[0]})
    expected.append(api.ok("/api/metrics/?model=m"))
    told = listener.take(len(expected))
    assert [event.data for event in told] == expected
    assert all(event.kind == "message" and event.id.endswith("-m") for event in told)
    late = listen(METRICS, told[2].id).take(len(expected) - 3)
    assert late == told[3:]


def test_told_metrics_follow_a_model_that_is_rebuilt(api, listen, work):
    api.stream("s")
    api.model("avg", "s", "mean")
    listener = listen(METRICS)
    for y in (1.0, 100.0, 3.0):
        api.learn({"a": 1}, y)
    listener.take(3)
    api.ok("/api/v1/streams/s/observations/2/retract/", {"reason": "typo"}, 202)
    work()
    api.learn({"a": 1}, 5.0)
    (event,) = listener.take(1)
    assert event.data == api.ok("/api/metrics/?model=avg")


def test_a_model_that_passed_over_a_point_has_no_event_for_it(api, listen):
    api.stream("s")
    api.model("lin", "s", "linear")
    api.model("avg", "s", "mean")
    listener, native = listen(OLD), listen(NATIVE)
    api.learn({"a": "text"}, 1.0)
    api.learn({"a": 1.0}, 2.0)
    assert [event.data["model"] for event in listener.take(3)] == ["avg", "lin", "avg"]
    assert "lin" in native.take(1)[0].data["errors"]


def test_a_slow_reader_loses_nothing(world, listen):
    listener = listen(NATIVE)
    count = 0
    for _ in range(40):
        points = [{"x": {"a": float(count + n)}, "y": float(count + n)} for n in range(75)]
        world.ok("/api/v1/streams/s/observations/", {"observations": points})
        world.ok("/api/v1/models/two/predict/", {"x": {"a": 1.0}, "track": True})
        count += 75
    told = listener.take(count + 40)
    assert [event.data["seq"] for event in told if event.kind == "learn"] == list(range(1, count + 1))
    assert sum(event.kind == "predict" for event in told) == 40


def test_large_batches_are_read_a_few_at_a_time(world, listen, monkeypatch):
    monkeypatch.setattr(event_log, "CHUNK_BYTES", 2000)
    listener = listen(NATIVE)
    for n in range(30):
        world.learn({"text": str(n) * 400}, float(n), stream="other")
    assert [event.data["y"] for event in listener.take(30)] == [float(n) for n in range(30)]


@pytest.mark.one_database
@pytest.mark.parametrize("path", [NATIVE, OLD])
def test_a_client_that_reads_slowly_holds_no_large_batch_in_memory(world, listen, path, monkeypatch):
    features = {f"text{n}": "x" * 500 for n in range(20)}
    points = [{"x": features, "y": float(n)} for n in range(200)]  # two batches of 1 MB
    world.ok("/api/v1/streams/other/observations/", {"observations": points})
    monkeypatch.setattr(event_log, "CHUNK_BYTES", 1)  # each is read alone, as larger ones are
    listener = listen(path, last="0")
    tracemalloc.start()
    try:
        listener.take(1)
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 4 * ready_events.PIECE < peak
    assert len(listener.take(199)) == 199


def test_what_is_too_large_for_the_disk_is_sent_all_the_same(world, listen, monkeypatch):
    monkeypatch.setattr(ready_events, "MOST_ON_DISK", 1000)
    monkeypatch.setattr(ready_events, "PIECE", 100)
    listener = listen()
    for _ in range(2):
        points = [{"x": {"a": float(n)}, "y": float(n)} for n in range(20)]
        world.ok("/api/v1/streams/s/observations/", {"observations": points})
    assert [event.data["seq"] for event in listener.take(40)] == list(range(1, 41))


@pytest.mark.parametrize("filtered", [False, True])
def test_however_many_rows_are_wanted_their_texts_stay_within_the_bound(world, monkeypatch, filtered):
    monkeypatch.setattr(event_log, "CHUNK_BYTES", 9000)

    def features(size: int) -> dict[str, str]:
        return {f"text{n}": "é" * 500 for n in range(size)}

    start = event_log.now()
    for n in range(12):
        world.learn(features(4 if n else 20), float(n), stream="other")  # 4 kB, the first 20 kB
        world.learn(features(4), float(n))
        world.ok("/api/v1/models/two/predict/", {"x": features(4), "track": True})
    other = Stream.objects.get(name="other").pk
    reader = Reader(start, other if filtered else None)
    found, fetched = [], []
    real = reader._fetch

    def counted(after):
        rows = real(after)
        fetched.append([sum(len(text.encode()) for text in row[7:12] if text is not None) for row in rows])
        return rows

    monkeypatch.setattr(reader, "_fetch", counted)
    expected = 12 if filtered else 36
    deadline = time.monotonic() + 60
    while len(found) < expected and time.monotonic() < deadline:
        reader._rows = event_log.MOST_ROWS  # as after a while without events
        found += reader.read()
        threading.Event().wait(0.01)
    assert len(found) == expected
    assert len({row.position for row in found}) == expected
    assert all(sum(sizes) <= 9000 or sum(map(bool, sizes)) == 1 for sizes in fetched)
    assert max(map(sum, fetched)) > 20_000  # the largest is read alone
    assert len([sizes for sizes in fetched if sizes]) < expected  # PostgreSQL may hold events back for a while


@pytest.mark.postgresql  # SQLite has one writer: numbers are given in the order of commits
def test_what_is_committed_later_with_a_lower_number_is_not_passed_by(world, listen):
    listener = listen(NATIVE)
    inserted, go_on = threading.Event(), threading.Event()
    model = Prediction._meta.get_field("model").related_model.objects.get(name="one")

    def slow() -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO learning_prediction (identifier, model_id, stream_id, x, prediction, at, made_at, expires_at, xid)"
                " VALUES ('slow', %s, %s, '{}', '1.0', 0, now(), now(), pg_current_xact_id()::text::bigint)",
                [model.pk, model.stream_id],
            )
            inserted.set()
            go_on.wait(30)
        connection.close()

    thread = threading.Thread(target=slow)
    thread.start()
    assert inserted.wait(30)
    world.learn({"a": 1.0}, 1.0)
    assert list(Reader(Position(0, 0, 0)).read()) == []  # neither: the order isn't settled yet
    go_on.set()
    thread.join()
    first, second = listener.take(2)
    assert (first.data["identifier"], second.data["seq"]) == ("slow", 1)


def test_there_are_only_so_many_event_streams_in_a_process_and_a_closed_one_makes_room(world, settings):
    settings.TAILRACE = settings.TAILRACE.model_copy(update={"event_streams": 2})
    never_read, second = world.get(NATIVE), world.get(OLD)
    for path in (NATIVE, OLD, METRICS):
        response = world.get(path)
        assert "TAILRACE_EVENT_STREAMS" in refused(response, 503)["message"]
        assert response.headers["Retry-After"] == "5"
    never_read.close()
    never_read.close()
    third = world.get(METRICS)
    assert third.status_code == 200
    assert world.get(NATIVE).status_code == 503
    next(iter(second.streaming_content))
    second.close()
    third.close()
    assert events.SLOTS.by_caller.total() == 0


def test_a_heartbeat_is_sent_while_nothing_happens(world, monkeypatch):
    monkeypatch.setattr(events, "HEARTBEAT", 0.0)
    monkeypatch.setattr(events, "POLL", 0.001)
    for path, expected in ((NATIVE, b":\n\n"), (OLD, b"\n"), (METRICS, b"\n")):
        response = world.get(path)
        assert list(itertools.islice(response.streaming_content, 3)) == [expected] * 3
        response.close()


def test_a_listener_outlives_a_database_that_goes_away_and_comes_back(world, listen, monkeypatch):
    listener = listen(NATIVE)
    fetch, failures = Reader._fetch, [DatabaseError("gone")] * 3

    def unsteady(self: Reader, *arguments: Any) -> Any:
        if failures:
            raise failures.pop()
        return fetch(self, *arguments)

    monkeypatch.setattr(Reader, "_fetch", unsteady)
    monkeypatch.setattr(events, "POLL", 0.001)
    world.learn({"a": 1.0}, 1.0)
    assert listener.take(1)[0].data["seq"] == 1
    assert not failures


def test_event_streams_end_when_their_process_does(world, listen, monkeypatch):
    stopping = threading.Event()
    monkeypatch.setattr(events, "STOPPING", stopping)
    listener = listen(NATIVE)
    world.learn({"a": 1.0}, 1.0)
    listener.take(1)
    stopping.set()
    assert list(listener.chunks) == []
