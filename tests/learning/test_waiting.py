"""Requests that wait for a stream's models: where many wait for long, some are told to try again, and none is done in part."""

import contextlib
import functools
import re
import threading
from concurrent.futures import Future, ThreadPoolExecutor, wait
from types import SimpleNamespace

import pytest

from server.learning import combining, replicaset, waiters
from server.learning.combining import Combiner
from server.learning.replicaset import ReplicaSet
from server.learning.turn import Submission
from server.streams.errors import Unavailable
from server.streams.log import Points

THREADS = 8
ROOM = THREADS // 2


@pytest.fixture(autouse=True)
def soon(monkeypatch, settings):
    settings.TAILRACE = settings.TAILRACE.model_copy(update={"threads": THREADS})
    for module in (waiters, combining, replicaset):
        monkeypatch.setattr(module, "PATIENCE", 0.05)


class Busy:
    """A stream whose models work for as long as :attr:`go` isn't set; each group is one turn, which begins with each item in order."""

    def __init__(self):
        self.go = threading.Event()
        self.at_work = threading.Event()
        self.learned = []
        self.combiner = Combiner(self.work, 1000)
        self.replicas = ReplicaSet(1)

    def work(self, group):
        gate = self.go
        self.at_work.set()
        gate.wait()
        for submission in group:
            if submission.begin():
                self.learned.append(submission)
                submission.receipt = object()
        return []

    def next_turn(self):
        """Have this turn end, and the next one wait."""
        gate, self.go = self.go, threading.Event()
        self.at_work.clear()
        gate.set()

    def learn(self):
        submission = Submission(self.replicas, Points([], [], {}), [])
        self.combiner.submit(submission, self.replicas.waiters)
        return submission


def outcomes(asked: list[Future]):
    """What was learned, and how many were refused."""
    wait(asked)
    refused = [future for future in asked if isinstance(future.exception(), Unavailable)]
    return [future.result() for future in asked if future not in refused], len(refused)


@pytest.fixture
def busy():
    return Busy()


@pytest.fixture
def pool():
    with ThreadPoolExecutor(4 * THREADS) as pool:
        yield pool


def until_refused(asked, number):
    refused = threading.Semaphore(0)
    for future in asked:
        future.add_done_callback(lambda done: refused.release())
    for _ in range(number):
        assert refused.acquire(timeout=60)


def test_those_that_wait_for_a_turn_leave_room_to_others(busy, pool):
    asked = [pool.submit(busy.learn)]
    assert busy.at_work.wait(60)
    asked += [pool.submit(busy.learn) for _ in range(2 * THREADS)]
    until_refused(asked, 2 * THREADS - ROOM)
    assert not busy.learned
    busy.go.set()
    learned, refused = outcomes(asked)
    assert refused == 2 * THREADS - ROOM
    assert sorted(map(id, learned)) == sorted(map(id, busy.learned))


def test_those_in_a_turn_that_has_not_begun_with_them_too(busy, pool):
    """Their turn waits for another process's: all are in one group, and one leads."""
    busy.replicas.waiters.most = 100
    asked = [pool.submit(busy.learn)]
    assert busy.at_work.wait(60)
    asked += [pool.submit(busy.learn) for _ in range(2 * THREADS)]
    while len(busy.combiner._waiting) < 2 * THREADS:
        threading.Event().wait(0.001)
    busy.next_turn()
    assert outcomes(asked[:1])[1] == 0
    assert busy.at_work.wait(60)
    busy.replicas.waiters.most = ROOM
    until_refused(asked[1:], 2 * THREADS - ROOM)
    busy.go.set()
    learned, refused = outcomes(asked)
    assert refused == 2 * THREADS - ROOM
    assert sorted(map(id, learned)) == sorted(map(id, busy.learned))


def test_those_that_ask_the_models_too(pool):
    replicas = ReplicaSet(1)

    def ask():
        with replicas.to_ask():
            pass

    with replicas.lock:
        asked = [pool.submit(ask) for _ in range(2 * THREADS)]
        until_refused(asked, 2 * THREADS - ROOM)
        asked.append(pool.submit(ask))
        until_refused(asked, 2 * THREADS - ROOM + 1)
    _, refused = outcomes(asked)
    assert refused == 2 * THREADS - ROOM + 1
    why = {str(exc) for future in asked if (exc := future.exception()) is not None}
    assert any(re.match(r"\d+ requests wait for the stream's models already, the first for \d", one) for one in why), (
        why
    )


def test_streams_that_are_slow_have_room_together(pool):
    """Each by itself has few that wait."""
    streams = [Busy() for _ in range(THREADS)]
    asked = [pool.submit(stream.learn) for stream in streams]
    for stream in streams:
        assert stream.at_work.wait(60)
    asked += [pool.submit(stream.learn) for stream in streams]
    until_refused(asked, THREADS - ROOM)
    for stream in streams:
        stream.go.set()
    learned, refused = outcomes(asked)
    assert refused == THREADS - ROOM
    assert len(learned) == THREADS + ROOM


def slow_one(number):
    """Those that wait for a stream whose models took long twice."""
    waiters = ReplicaSet(number).waiters
    waiters.took(1, 1)
    waiters.took(1, 1)
    return waiters


def test_one_that_was_slow_takes_nobody_where_many_wait_for_such(pool):
    busy, own = slow_one(1), slow_one(2)
    with contextlib.ExitStack() as stack:

        def be_there(waiters):
            entered, leaves = threading.Event(), threading.Event()
            stack.callback(leaves.set)

            def stay():
                waiters.join_if_slow()
                entered.set()
                leaves.wait(60)
                waiters.leave()

            pool.submit(stay)
            assert entered.wait(60)

        for _ in range(ROOM):
            be_there(busy)
        with pytest.raises(Unavailable, match="take long"):
            busy.join_if_slow()
        be_there(own)  # each stream has one
        with pytest.raises(Unavailable, match="take long"):
            own.join_if_slow()
        for number in range(3, 3 + ROOM - 2):
            be_there(slow_one(number))
        with pytest.raises(Unavailable, match="take long"):
            slow_one(100).join_if_slow()
        ReplicaSet(101).waiters.join_if_slow()


def test_a_stream_is_slow_for_as_long_as_it_took_and_much_longer_if_it_takes_long_again(monkeypatch):
    now = 1000.0
    monkeypatch.setattr(waiters, "time", SimpleNamespace(monotonic=lambda: now))
    one = ReplicaSet(1).waiters
    one.took(0.01, 0.01)
    assert not one.is_slow
    one.took(2, 2)
    assert one.is_slow
    now += 2.1
    assert not one.is_slow
    one.took(0.01, 0.01)  # quick ones between don't make it quick
    one.took(1, 1)
    now += 29
    assert one.is_slow
    now += 2
    assert not one.is_slow
    now += 30
    one.took(2, 2)
    now += 2.1
    assert not one.is_slow


def test_what_others_use_the_cpu_for_makes_no_stream_slow_for_long(monkeypatch):
    now = 1000.0
    monkeypatch.setattr(waiters, "time", SimpleNamespace(monotonic=lambda: now))
    one = ReplicaSet(1).waiters
    for _ in range(3):
        one.took(4, 0.0)
        assert one.is_slow
        now += 4.1
        assert not one.is_slow
    one.took(0.01, 0.01)
    assert one.is_trusted


def test_a_stream_is_trusted_until_it_is_slow(monkeypatch):
    now = 1000.0
    monkeypatch.setattr(waiters, "time", SimpleNamespace(monotonic=lambda: now))
    one = ReplicaSet(1).waiters
    assert one.is_trusted
    one.took(2, 2)
    one.took(0.01, 0.01)
    assert not one.is_trusted
    now += 61
    assert one.is_trusted


def test_an_owner_several_of_whose_streams_are_slow_is_not_trusted_for_a_while(monkeypatch):
    now = 1000.0
    monkeypatch.setattr(waiters, "time", SimpleNamespace(monotonic=lambda: now))
    monkeypatch.setattr(waiters, "_slow_streams", {})
    slow = [ReplicaSet(number).waiters for number in range(waiters.FEW)]
    own, others, nobodys, unknown = (ReplicaSet(number).waiters for number in range(10, 14))
    own.owner_id, others.owner_id = 7, 8
    nobodys.took(0.01, 0.01)
    for one in slow:
        assert own.is_trusted
        one.owner_id = 7
        one.took(2, 2)
    assert not own.is_trusted and not unknown.is_trusted  # whose owner isn't known yet
    assert others.is_trusted and nobodys.is_trusted
    now += waiters.LASTING + 1
    assert own.is_trusted and unknown.is_trusted
    assert not waiters._slow_streams


def test_one_that_is_being_worked_at_stays_among_those_who_wait():
    waiting = ReplicaSet(1).waiters
    waiting.most = -1
    with pytest.raises(Unavailable):
        waiting.check()
    assert threading.get_ident() not in waiters._slow
    waiting.check(lambda: False)
    assert threading.get_ident() in waiters._slow
    waiting.leave()


@pytest.mark.parametrize("is_slow", [False, True])
def test_requests_that_may_take_long_leave_a_quarter_of_the_threads(is_slow):
    quick = ReplicaSet(1).waiters
    many = (1, slow_one(2)) if is_slow else (waiters.LONG, quick)
    with contextlib.ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(THREADS))
        leave = threading.Event()
        stack.callback(leave.set)
        inside = threading.Semaphore(0)

        def ask():
            with waiters.room_for(*many):
                inside.release()
                leave.wait(60)

        asked = [pool.submit(ask) for _ in range(THREADS * 3 // 4)]
        for _ in asked:
            assert inside.acquire(timeout=60)
        with pytest.raises(Unavailable, match="6 requests of 100 points"), waiters.room_for(*many):
            pass
        with waiters.room_for(waiters.LONG - 1, quick):
            pass
        leave.set()
        assert outcomes(asked)[1] == 0
    with waiters.room_for(*many):
        pass


def test_those_who_load_models_leave_threads_to_others(monkeypatch):
    monkeypatch.setattr(waiters, "_loading", functools.cache(lambda: threading.BoundedSemaphore(1)))
    monkeypatch.setattr(waiters, "LOADING_PATIENCE", 0.01)
    replicas = ReplicaSet(1)
    with waiters.room_to_load():
        for call in (lambda: replicas.follow(1, replicas.epoch + 1), lambda: replicas.reload(1)):
            with pytest.raises(Unavailable, match="many streams are being loaded"):
                call()
        replicas.follow(1, replicas.epoch)  # nothing is to be loaded
        replicas.replicas = {1: SimpleNamespace(n=0)}
        with pytest.raises(Unavailable, match="many streams are being loaded"):
            replicas.follow(101, replicas.epoch)
    with waiters.room_to_load():
        pass


def test_few_wait_for_as_long_as_it_takes(busy, pool):
    asked = [pool.submit(busy.learn)]
    assert busy.at_work.wait(60)
    asked += [pool.submit(busy.learn) for _ in range(ROOM)]
    done, _ = wait(asked, timeout=1)
    assert not done
    busy.go.set()
    assert outcomes(asked)[1] == 0
