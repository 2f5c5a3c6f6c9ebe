"""Answers from a log of large observations take bounded memory, and exports a bounded number of threads."""

import gc
import json
import tracemalloc
from collections import Counter

import pytest
from rest_framework.renderers import JSONRenderer

from server.api.response_slots import Slot
from server.api.v1 import export, observations
from server.core.errors import TooLarge
from server.learning.fold import replay
from server.streams import log
from server.streams.models import Batch, Stream
from server.streams.points import BATCH_BYTES, BATCH_POINTS, checksum, encoded, joined

pytestmark = pytest.mark.django_db(transaction=True)

STREAM = "/api/v1/streams/large/"
OBSERVATIONS = STREAM + "observations/"


@pytest.fixture
def stored(api, monkeypatch):
    """Forty observations of 10 kB each, in ten requests, with bounds that they reach."""
    assert api.post("/api/v1/streams/", {"name": "large", "target": {"name": "y"}}).status_code == 201
    for n in range(10):
        points = [
            {"x": {"a": 4 * n + k} | {f"text{part}": "é" * 500 for part in range(20)}, "y": 1.0} for k in range(4)
        ]
        assert api.post(OBSERVATIONS, {"observations": points}).status_code == 201
    monkeypatch.setattr(export.SLOTS, "by_caller", Counter())
    monkeypatch.setattr(export, "PAGE_BYTES", 70_000)
    monkeypatch.setattr(export, "SENT_BYTES", 5_000)
    monkeypatch.setattr(log, "CHUNK_BYTES", 100_000)
    monkeypatch.setattr(replay, "CHUNK_BYTES", 70_000)
    return Stream.objects.get(name="large")


def test_a_page_of_large_observations_ends_early_and_the_next_goes_on(api, stored):
    after, seen, pages = 0, [], 0
    while after is not None:
        page = api.ok(f"{OBSERVATIONS}?after={after}&limit=10000")
        seen += [one["seq"] for one in page["observations"]]
        assert len(page["observations"]) <= 8
        after, pages = page["next"], pages + 1
    assert seen == list(range(1, 41))
    assert pages == 5


def test_a_large_page_counts_as_an_export_until_it_is_sent(api, stored, settings, monkeypatch):
    """A slow client keeps it in memory; a small page needs no slot."""
    monkeypatch.setattr(export, "LARGE_PAGE_BYTES", 50_000)
    answer = observations._page(stored, 0, 100, Slot(export.SLOTS, None))
    assert export.SLOTS.by_caller.total() == 1
    answer.close()
    assert export.SLOTS.by_caller.total() == 0
    answer = observations._page(stored, 0, 100, Slot(export.SLOTS, None))
    assert export.SLOTS.by_caller.total() == 1
    del answer  # it is dropped, as where it can't be rendered
    gc.collect()
    assert export.SLOTS.by_caller.total() == 0
    export.SLOTS.by_caller[None] = max(2, settings.TAILRACE.working_threads // 4)
    refused = api.get(OBSERVATIONS)
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "unavailable")
    assert len(api.ok(f"{OBSERVATIONS}?limit=2")["observations"]) == 2
    export.SLOTS.by_caller.clear()
    assert api.ok(OBSERVATIONS)["observations"]
    assert export.SLOTS.by_caller.total() == 0


def test_large_rows_after_small_ones_are_read_a_few_at_a_time(stored, monkeypatch):
    monkeypatch.setattr(log, "FIRST_ROWS", 1)
    rows = []
    real = log._rows_that_fit

    def counted(cursor, stream_id, after, most):
        rows.append(real(cursor, stream_id, after, most))
        return rows[-1]

    monkeypatch.setattr(log, "_rows_that_fit", counted)
    monkeypatch.setattr(log, "CHUNK_BYTES", 400_000)  # more than four small rows, so that more and more are wanted
    assert [span.first for span in log.spans(stored.pk, 0)] == list(range(1, 41, 4))
    assert rows
    assert max(rows) * 40_000 <= 400_000


def test_a_fold_holds_few_large_observations_at_once(stored):
    spans = list(replay.merged_spans(log.spans(stored.pk, 0), replay.CHUNK))
    assert [len(span.xs) for span in spans] == [8] * 5
    assert [span.first for span in spans] == [1, 9, 17, 25, 33]


WIDE = 4
"""Bytes that a character takes in the memory of a text with an emoji."""


@pytest.fixture
def wide(api):
    """Eighty observations of 100 kB in a single request, all in one text that takes four times its bytes in memory."""
    assert api.post("/api/v1/streams/", {"name": "large", "target": {"name": "y"}}).status_code == 201
    point = {"x": {"smile": "\N{GRINNING FACE}"} | {f"text{part}": "a" * 1000 for part in range(100)}, "y": 1.0}
    receipt = api.ok(OBSERVATIONS, {"observations": [point] * 80}, 201)
    assert (receipt["first"], receipt["last"]) == (1, 80)
    return Stream.objects.get(name="large")


def test_large_observations_of_one_request_are_stored_in_several_rows(api, wide):
    rows = Batch.objects.filter(stream=wide).order_by("last")
    assert max(len(row.xs.encode()) for row in rows) <= BATCH_BYTES
    assert [row.count for row in rows] == [10] * 8
    assert [len(json.loads(row.xs)) for row in rows] == [10] * 8
    assert [checksum(row.xs.encode(), row.ys.encode()) for row in rows] == [row.checksum for row in rows]
    seen = [seq for some in export.observations(wide, 0, 80) for seq in (one["seq"] for one in some)]
    assert seen == list(range(1, 81))


@pytest.mark.parametrize("sizes", [[], [5], [500_000, 500_000, 500_000], [2_000_000, 3], [3, 2_000_000, 3], [1] * 1001])
def test_rows_hold_every_point_in_order(sizes):
    xs = [{"n": n, "text": "a" * size} for n, size in enumerate(sizes)]
    ys = [float(n) for n in range(len(xs))]
    whole = list(joined(encoded(xs, ys)))
    assert [x for piece in whole for x in json.loads(piece.xs)] == xs
    assert [y for piece in whole for y in json.loads(piece.ys)] == ys
    for piece in whole:
        assert piece.size == len(json.loads(piece.xs)) == len(json.loads(piece.ys)) <= BATCH_POINTS
        assert len(piece.xs) <= BATCH_BYTES or piece.size == 1


@pytest.mark.parametrize("kind", ["ndjson", "csv"])
def test_an_export_whose_client_is_slow_holds_little(api, wide, kind):
    """Whatever was stored in one request, and however wide its characters are."""
    tracemalloc.start()
    try:
        response = api.get(f"{OBSERVATIONS}?format={kind}")
        pieces = iter(response.streaming_content)
        size = 0
        while size < 500_000:
            size += len(next(pieces))
        held, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    response.close()
    assert held < 2 * log.CHUNK_BYTES * WIDE
    assert most < 4 * log.CHUNK_BYTES * WIDE


def test_a_page_does_not_keep_what_it_was_rendered_from(stored):
    answer = observations._page(stored, 0, 100, Slot(export.SLOTS, None))
    answer.accepted_renderer, answer.accepted_media_type, answer.renderer_context = (
        JSONRenderer(),
        "application/json",
        {},
    )
    assert json.loads(answer.render().content)["observations"]
    assert answer.data is None
    answer.close()


def test_an_export_is_sent_in_small_pieces_and_whole(api, stored):
    response = api.get(OBSERVATIONS + "?format=ndjson")
    pieces = list(response.streaming_content)
    assert max(map(len, pieces)) <= 5_000
    assert [json.loads(line)["seq"] for line in b"".join(pieces).splitlines()] == list(range(1, 41))


@pytest.mark.parametrize("kind", ["ndjson", "csv"])
def test_exports_beyond_the_limit_are_refused_and_closing_one_makes_room(api, stored, settings, kind):
    most = max(2, settings.TAILRACE.working_threads // 4)
    url = f"{OBSERVATIONS}?format={kind}"
    begun = [api.get(url) for _ in range(most)]
    next(iter(begun[0].streaming_content))
    refused = api.get(url)
    assert refused.status_code == 503
    assert f"sends {most} exports already" in refused.json()["error"]["message"]
    for one in begun:
        one.close()
    again = api.get(url)
    assert again.status_code == 200
    assert b"".join(again.streaming_content)
    assert export.SLOTS.by_caller.total() == 0


def test_a_comparison_of_too_many_numbers_is_refused(monkeypatch):
    from server.cells import nearest

    monkeypatch.setattr(nearest, "MAX_VALUES", 6)
    xs = [{"a": 1, "b": True}, {"b": 2.5, "text": "no number"}]
    assert nearest.matrix(xs, ["a", "b", "c"]).tolist() == [[1.0, 1.0, 0.0], [0.0, 2.5, 0.0]]
    with pytest.raises(TooLarge, match="2 observations with 4 different features"):
        nearest.matrix(xs, ["a", "b", "c", "d"])
