"""What counts as stuck, and what only as busy or as waiting; how often the database is asked."""

import contextlib
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from http.server import ThreadingHTTPServer

import pytest
from river import dummy, stats

from server.core.db.database_state import NO_DATABASE, READY, DatabaseState
from server.core.db.readiness import ReadinessCheck
from server.learning import registry
from server.learning.background import leases, liveness_marks, maintenance
from server.learning.fold.replica_set import SETS
from server.learning.models import Model
from server.learning.write_path import learn_points
from server.operations.liveness import Watch
from server.runtime import startup_responder
from server.runtime.startup_responder import StartupResponder
from server.streams.points import Point
from tests.faults.telling import told
from tests.serving import Server

LIMIT = 10.0


@pytest.fixture
def replicas():
    """The models of a stream, whose lock somebody holds."""
    model = registry.create("m", None, "regression", dummy.StatisticRegressor(stats.Mean()))
    learn_points.learn(model.stream_id, [Point({"a": 1.0}, 1.0)])
    found = SETS.of(model.stream_id)
    with found.lock:
        yield found


class Looks:
    """A watch, looked through at times of the test's own; the maintenance thread moves unless it is told not to."""

    def __init__(self, *, answers=True):
        self.answers = answers
        self.ended = 0
        self.watch = Watch(LIMIT, lambda: self.answers, self._end)
        self.watch.patience = 0.01

    def _end(self):
        self.ended += 1

    def at(self, *times, maintained=True):
        for now in times:
            if maintained:
                for name in liveness_marks.THREADS:
                    liveness_marks.mark_alive(name)
            self.watch.step(now)
        return self.watch.reason


@pytest.mark.django_db(transaction=True)
def test_a_set_that_is_held_and_does_not_move_is_stuck_and_then_the_process_ends(replicas, caplog):
    looks = Looks()
    assert looks.at(0.0, 9.9) == ""
    assert looks.at(10.1) == f"the models of stream {replicas.stream_id} haven't moved for more than 10 s"
    assert looks.at(19.9) != ""
    assert looks.ended == 0
    looks.at(20.1)
    assert looks.ended == 1
    assert "test_a_set_that_is_held" in caplog.text  # what the threads did
    replicas.lock.release()
    try:
        assert looks.at(20.2) == ""
    finally:
        replicas.lock.acquire()


@pytest.mark.django_db(transaction=True)
def test_a_set_that_is_held_and_moves_is_only_busy(replicas):
    looks = Looks()
    (replica,) = replicas.replicas.values()
    for now in range(0, 100, 9):
        replica.n += 1  # as it does while it catches up with a long log
        assert looks.at(float(now)) == ""


@pytest.mark.django_db(transaction=True)
def test_whoever_waits_for_the_database_is_not_stuck(replicas):
    looks = Looks(answers=False)
    assert looks.at(*map(float, range(100))) == ""
    looks.answers = True
    assert looks.at(100.0, 108.0) == ""  # they have as long as ever from when it came back
    assert looks.at(110.0) != ""


def test_a_maintenance_thread_that_has_ended_is_stuck():
    looks = Looks()
    assert looks.at(0.0, 9.0) == ""
    assert looks.at(18.9, 19.1, maintained=False) == "the maintenance thread hasn't moved for more than 10 s"


@pytest.mark.django_db(transaction=True)
def test_a_lease_of_before_the_clock_was_set_back_is_not_waited_for(monkeypatch):
    model = registry.create("m", None, "regression", dummy.StatisticRegressor(stats.Mean()))
    learn_points.learn(model.stream_id, [Point({"a": 1.0}, 1.0)])
    registry.create("late", "m", "regression", dummy.StatisticRegressor(stats.Mean()))
    now = datetime.now(UTC)
    Model.objects.filter(name="late").update(leased_until=now + leases.LEASE)
    maintenance.work_on_backfills()
    assert Model.objects.get(name="late").status == Model.BACKFILLING  # somebody else works on it
    Model.objects.filter(name="late").update(leased_until=now + 100 * leases.LEASE)
    maintenance.work_on_backfills()
    assert Model.objects.get(name="late").status == Model.READY


def test_however_many_ask_the_database_is_asked_once():
    asked, answer = [], threading.Event()

    def look():
        asked.append(1)
        answer.wait()
        return DatabaseState(READY), ""

    examiner = ReadinessCheck(look)
    with ThreadPoolExecutor(20) as pool:
        asking = [pool.submit(examiner.state, 60) for _ in range(20)]
        answer.set()
        assert {found.result() for found in asking} == {DatabaseState(READY)}
    assert examiner.state() == DatabaseState(READY)
    assert len(asked) == 1


def test_a_database_that_does_not_answer_is_waited_for_so_long_and_no_longer():
    answer = threading.Event()

    def look():
        answer.wait()
        return DatabaseState(READY), ""

    examiner = ReadinessCheck(look)
    found = examiner.state(0.01)
    assert found.status == NO_DATABASE
    assert "hasn't responded for 0 s" in found.reason
    answer.set()
    assert examiner.state(60) == DatabaseState(READY)


@pytest.mark.one_database
def test_while_it_starts_probes_are_told_what_it_waits_for_and_others_to_try_again(tmp_path):
    server = Server(tmp_path)
    room = StartupResponder(f"127.0.0.1:{server.port}")
    room.open(DatabaseState("starting", "a reason"))
    try:
        assert told(server) == told(server, "/healthz") == (503, "starting")
        status, data = server.post("/api/learn/", {"model": "m"})
        assert (status, data["error"]["code"]) == (503, "unavailable")
        assert "a reason" in data["message"]
        room.open(DatabaseState("no_database", "another"))
        assert told(server) == (503, "no_database")
    finally:
        room.close()
    assert told(server) == (0, "")


@pytest.mark.one_database
def test_the_waiting_room_closes_when_everybody_in_it_is_answered(tmp_path, monkeypatch):
    server = Server(tmp_path)
    room = StartupResponder(f"127.0.0.1:{server.port}")
    asked, shut = threading.Event(), threading.Event()
    order = []

    class Slow:
        reason = "slow"

        def _asdict(self):
            asked.set()
            assert shut.wait(60)
            order.append("answered")
            return {"status": "starting"}

    def shutdown(room):
        ThreadingHTTPServer.shutdown(room)
        shut.set()

    monkeypatch.setattr(startup_responder._Server, "shutdown", shutdown)
    room.open(Slow())
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(told, server)
        assert asked.wait(60)
        room.close()
        order.append("closed")
        assert answer.result(60) == (503, "starting")
    assert order == ["answered", "closed"]


@pytest.mark.one_database
def test_who_never_ends_a_request_keeps_no_server_from_its_start(tmp_path):
    server = Server(tmp_path)
    room = StartupResponder(f"127.0.0.1:{server.port}")
    room.open(DatabaseState("starting", "a reason"))
    closed = threading.Event()
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection, ThreadPoolExecutor(1) as pool:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nX-A: ")
        assert told(server) == (503, "starting")  # so that it is inside, too

        def drip():
            while not closed.wait(0.1):
                with contextlib.suppress(OSError):
                    connection.sendall(b"b")

        dripping = pool.submit(drip)
        try:
            room.close()
        finally:
            closed.set()
        dripping.result(60)
