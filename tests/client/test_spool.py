"""What a spool keeps, and how it is delivered to servers that may misbehave."""

import os

import pytest
from tailrace.errors import Forbidden, Refused, SpoolFull, Unreachable, Unusable
from tailrace.spool.in_flight import InFlight
from tailrace.spool.orphans import ABANDONED
from tailrace.spool.spool import Spool
from tailrace.transport.server import Server

from tests.client.listeners import answer, listening, replies
from tests.client.running import body_of, kept, receipt

pytestmark = pytest.mark.one_database


def fill(spool, numbers):
    for n in numbers:
        spool.put("s", {"x": {"a": n}, "y": float(n), "key": f"k{n}"})


@pytest.mark.parametrize("status", ["401 Unauthorized", "403 Forbidden", "404 Not Found", "503 Service Unavailable"])
def test_what_can_be_put_right_goes_on_waiting(tmp_path, status):
    spool = Spool(tmp_path)
    fill(spool, range(3))
    with listening(replies(answer(status, b"{}"))) as listener, pytest.raises((Refused, Unreachable)):
        list(spool.flush(Server(listener.url), deadline=1))
    assert len(spool.waiting()) == 3


def test_what_is_kept_quickly_keeps_its_order(tmp_path):
    fill(Spool(tmp_path), range(50))
    assert [one["y"] for one in kept(tmp_path)] == [float(n) for n in range(50)]


def test_streams_that_take_turns_go_many_a_request(tmp_path):
    spool = Spool(tmp_path)
    for n in range(40):
        spool.put(f"s{n % 4}", {"x": {"a": n}, "y": n, "key": f"k{n}"})
    with listening(replies(receipt())) as listener:
        assert len(list(spool.flush(Server(listener.url)))) == 40
        bodies = [body_of(request)["observations"] for request in listener.requests]
    assert [[one["y"] for one in body] for body in bodies] == [list(range(n, 40, 4)) for n in range(4)]


def test_large_observations_go_fewer_a_request(tmp_path, monkeypatch):
    monkeypatch.setattr("tailrace.spool.delivery.BYTES_PER_REQUEST", 2000)
    spool = Spool(tmp_path)
    for n in range(10):
        spool.put("s", {"x": {f"feature-{m}": m for m in range(20)}, "y": n, "key": f"k{n}"})
    with listening(replies(receipt())) as listener:
        assert len(list(spool.flush(Server(listener.url)))) == 10
        sizes = [len(body_of(request).get("observations", [0])) for request in listener.requests]
    assert sum(sizes) == 10
    assert max(sizes) < 10


def test_a_stream_that_may_not_be_posted_to_does_not_hold_up_the_others(tmp_path):
    spool = Spool(tmp_path)
    for n in range(6):
        spool.put(f"s{n % 2}", {"x": {"a": n}, "y": n, "key": f"k{n}"})

    def behave(connection, number):
        connection.sendall(answer("403 Forbidden", b"{}") if number == 1 else receipt())
        connection.close()

    with listening(behave) as listener, pytest.raises(Forbidden):
        list(spool.flush(Server(listener.url)))
    assert [one["y"] for one in kept(spool)] == [0, 2, 4]


def test_what_is_posted_while_a_flush_runs_is_left_to_its_post(tmp_path):
    spool = Spool(tmp_path)
    in_flight = InFlight(spool, "s", {"x": {"a": 1}, "y": 1, "key": "k"})
    with listening(replies(receipt())) as listener:
        assert list(spool.flush(Server(listener.url))) == []
        assert listener.requests == []
    assert len(list(tmp_path.glob(".*.part"))) == 1
    in_flight.keep()
    assert len(kept(spool)) == 1


def test_what_another_node_left_behind_is_delivered_after_a_while(tmp_path):
    spool = Spool(tmp_path)
    InFlight(spool, "s", {"x": {"a": 1}, "y": 1, "key": "k"})
    (part,) = tmp_path.glob(".*.part")
    digest, _, random, ending = part.name[1:].rsplit(".", 3)
    elsewhere = part.rename(tmp_path / f".{digest.partition('.')[0]}.node7.example.1.{random}.{ending}")
    with listening(replies(receipt())) as listener:
        assert list(spool.flush(Server(listener.url))) == []
        before = elsewhere.stat().st_mtime - ABANDONED - 1
        os.utime(elsewhere, (before, before))
        assert len(list(spool.flush(Server(listener.url)))) == 1
        assert body_of(listener.requests[0])["key"] == "k"
    assert list(tmp_path.iterdir()) == []


def test_a_flush_that_takes_away_what_is_still_sent_loses_nothing(tmp_path):
    spool = Spool(tmp_path)
    in_flight = InFlight(spool, "s", {"x": {"a": 1}, "y": 1, "key": "k"})
    (part,) = tmp_path.glob(".*.part")
    part.unlink()
    in_flight.keep()
    assert [one["key"] for one in kept(spool)] == ["k"]


def test_a_limit_that_is_no_number_is_said_to_be(monkeypatch, tmp_path):
    monkeypatch.setenv("TAILRACE_SPOOL_MB", "lots")
    with pytest.raises(Unusable, match="TAILRACE_SPOOL_MB=lots"):
        Spool(tmp_path)


def test_a_full_spool_takes_no_more_until_it_is_flushed(tmp_path):
    spool = Spool(tmp_path, size_mb=0.01)
    fill(spool, range(3))
    with pytest.raises(SpoolFull, match="tailrace flush"):
        fill(spool, [3])
    with listening(replies(receipt())) as listener:
        list(spool.flush(Server(listener.url)))
    fill(spool, [3])
    assert len(kept(spool)) == 1


def test_what_was_refused_counts_too(tmp_path):
    spool = Spool(tmp_path, size_mb=0.01)
    spool.refuse("s", {"x": {"a": 1}, "y": 1, "key": "k"}, "because")
    fill(spool, [1])
    with pytest.raises(SpoolFull):
        fill(spool, [2])
