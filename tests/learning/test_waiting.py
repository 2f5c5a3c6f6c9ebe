"""Requests that wait for a stream's models: where many wait for long, some are told to try again, and none is done in part."""

import contextlib
import functools
import re
import threading
from concurrent.futures import Future, ThreadPoolExecutor, wait
from types import SimpleNamespace

import pytest

from server.core.errors import Unavailable
from server.learning.budgets.long_calls import CallLength
from server.learning.concurrency import combiner, waiting_threads
from server.learning.concurrency.combiner import Combiner
from server.learning.fold import replica_set
from server.learning.fold.replica_set import ReplicaSet
from server.learning.write_path.transaction import Submission
from server.streams import registry as streams
from server.streams.points import Points

pytestmark = pytest.mark.one_database

THREADS = 8
ROOM = THREADS // 2


@pytest.fixture(autouse=True)
def soon(monkeypatch, settings):
    settings.TAILRACE = settings.TAILRACE.model_copy(update={"threads": THREADS})
    for slots in (waiting_threads._loading, waiting_threads._loading_of):
        slots.cache_clear()  # another test may have made them for as many threads as it had
    for module in (waiting_threads, combiner, replica_set):
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
        self.combiner.submit(submission, self.replicas.waiting)
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
    busy.replicas.waiting.most = 100
    asked = [pool.submit(busy.learn)]
    assert busy.at_work.wait(60)
    asked += [pool.submit(busy.learn) for _ in range(2 * THREADS)]
    while len(busy.combiner._waiting) < 2 * THREADS:
        threading.Event().wait(0.001)
    busy.next_turn()
    assert outcomes(asked[:1])[1] == 0
    assert busy.at_work.wait(60)
    busy.replicas.waiting.most = ROOM
    until_refused(asked[1:], 2 * THREADS - ROOM)
    busy.go.set()
    learned, refused = outcomes(asked)
    assert refused == 2 * THREADS - ROOM
    assert sorted(map(id, learned)) == sorted(map(id, busy.learned))


def test_those_that_ask_the_models_too(pool):
    replicas = ReplicaSet(1)

    def ask():
        with replicas.lock_to_predict():
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
    waiters = ReplicaSet(number).waiting
    waiters.record_duration(1, 1)
    waiters.record_duration(1, 1)
    return waiters


def test_one_that_was_slow_takes_nobody_where_many_wait_for_such(pool):
    busy, own = slow_one(1), slow_one(2)
    with contextlib.ExitStack() as stack:

        def be_there(waiters):
            entered, leaves = threading.Event(), threading.Event()
            stack.callback(leaves.set)

            def stay():
                waiters.enter_if_slow()
                entered.set()
                leaves.wait(60)
                waiters.leave()

            pool.submit(stay)
            assert entered.wait(60)

        for _ in range(ROOM):
            be_there(busy)
        with pytest.raises(Unavailable, match="models are slow"):
            busy.enter_if_slow()
        be_there(own)  # each stream has one
        with pytest.raises(Unavailable, match="models are slow"):
            own.enter_if_slow()
        for number in range(3, 3 + ROOM - 2):
            be_there(slow_one(number))
        with pytest.raises(Unavailable, match="models are slow"):
            slow_one(100).enter_if_slow()
        ReplicaSet(101).waiting.enter_if_slow()


def test_a_stream_is_slow_for_as_long_as_it_took_and_much_longer_if_it_takes_long_again(monkeypatch):
    now = 1000.0
    monkeypatch.setattr(waiting_threads, "time", SimpleNamespace(monotonic=lambda: now))
    one = ReplicaSet(1).waiting
    one.record_duration(0.01, 0.01)
    assert not one.is_slow
    one.record_duration(2, 2)
    assert one.is_slow
    now += 2.1
    assert not one.is_slow
    one.record_duration(0.01, 0.01)  # quick ones between don't make it quick
    one.record_duration(1, 1)
    now += 29
    assert one.is_slow
    now += 2
    assert not one.is_slow
    now += 30
    one.record_duration(2, 2)
    now += 2.1
    assert not one.is_slow


def test_what_others_use_the_cpu_for_makes_no_stream_slow_for_long(monkeypatch):
    now = 1000.0
    monkeypatch.setattr(waiting_threads, "time", SimpleNamespace(monotonic=lambda: now))
    one = ReplicaSet(1).waiting
    for _ in range(3):
        one.record_duration(4, 0.0)
        assert one.is_slow
        now += 4.1
        assert not one.is_slow
    one.record_duration(0.01, 0.01)
    assert one.is_trusted


def test_a_stream_is_trusted_until_it_is_slow(monkeypatch):
    now = 1000.0
    monkeypatch.setattr(waiting_threads, "time", SimpleNamespace(monotonic=lambda: now))
    one = ReplicaSet(1).waiting
    assert one.is_trusted
    one.record_duration(2, 2)
    one.record_duration(0.01, 0.01)
    assert not one.is_trusted
    now += 61
    assert one.is_trusted


def test_an_owner_several_of_whose_streams_are_slow_is_not_trusted_for_a_while(monkeypatch):
    now = 1000.0
    monkeypatch.setattr(waiting_threads, "time", SimpleNamespace(monotonic=lambda: now))
    monkeypatch.setattr(waiting_threads, "_slow_streams", {})
    slow = [ReplicaSet(number).waiting for number in range(waiting_threads.MAX_SLOW_STREAMS)]
    own, others, nobodys, unknown = (ReplicaSet(number).waiting for number in range(10, 14))
    own.owner_id, others.owner_id = 7, 8
    nobodys.record_duration(0.01, 0.01)
    for one in slow:
        assert own.is_trusted
        one.owner_id = 7
        one.record_duration(2, 2)
    assert not own.is_trusted and not unknown.is_trusted  # whose owner isn't known yet
    assert others.is_trusted and nobodys.is_trusted
    now += waiting_threads.SLOW_STREAM_SECONDS + 1
    assert own.is_trusted and unknown.is_trusted
    assert not waiting_threads._slow_streams


def test_one_that_is_being_worked_at_stays_among_those_who_wait():
    waiting = ReplicaSet(1).waiting
    waiting.most = -1
    with pytest.raises(Unavailable):
        waiting.check()
    assert threading.get_ident() not in waiting_threads._slow
    waiting.check(lambda: False)
    assert threading.get_ident() in waiting_threads._slow
    waiting.leave()


@pytest.mark.parametrize("is_slow", [False, True])
def test_requests_that_may_take_long_leave_a_quarter_of_the_threads(is_slow):
    quick = ReplicaSet(1).waiting
    many = (1, slow_one(2)) if is_slow else (waiting_threads.MANY_POINTS, quick)
    with contextlib.ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(THREADS))
        leave = threading.Event()
        stack.callback(leave.set)
        inside = threading.Semaphore(0)

        def ask():
            with waiting_threads.slot_for(*many):
                inside.release()
                leave.wait(60)

        asked = [pool.submit(ask) for _ in range(THREADS * 3 // 4)]
        for _ in asked:
            assert inside.acquire(timeout=60)
        with pytest.raises(Unavailable, match="6 requests of 100 points"), waiting_threads.slot_for(*many):
            pass
        with waiting_threads.slot_for(waiting_threads.MANY_POINTS - 1, quick):
            pass
        leave.set()
        assert outcomes(asked)[1] == 0
    with waiting_threads.slot_for(*many):
        pass


@pytest.mark.django_db
def test_those_who_load_models_leave_threads_to_others(monkeypatch):
    monkeypatch.setattr(waiting_threads, "_loading", functools.cache(lambda: threading.BoundedSemaphore(1)))
    monkeypatch.setattr(waiting_threads, "LOADING_PATIENCE", 0.01)
    stream = streams.create("s", owner_id=3)
    replicas = ReplicaSet(stream.pk)
    with waiting_threads.slot_to_load():
        for call in (lambda: replicas.catch_up(1, replicas.epoch + 1), lambda: replicas.reload(1)):
            with pytest.raises(Unavailable, match="many streams are being loaded"):
                call()
        replicas.catch_up(1, replicas.epoch)  # nothing is to be loaded
        replicas.replicas = {1: SimpleNamespace(n=0, learning=CallLength(), predicting=CallLength())}
        for length in (replicas.replicas[1].learning, replicas.replicas[1].predicting):
            with pytest.raises(Unavailable, match="many streams are being loaded"):
                replicas.catch_up(0, replicas.epoch, 1, to_learn=length is replicas.replicas[1].learning)
            length.record(0.0, 1)
        replicas.catch_up(0, replicas.epoch, 2)
        replicas.catch_up(0, replicas.epoch, 2, to_learn=True)
        with pytest.raises(Unavailable, match="many streams are being loaded"):
            replicas.catch_up(101, replicas.epoch)
    replicas.reload(0)
    with pytest.raises(Unavailable), waiting_threads.slot_to_load():  # the request's first calls may take long, too
        pass
    replicas.give_back_slot()
    with waiting_threads.slot_to_load():
        pass


@pytest.mark.django_db
def test_the_streams_of_one_owner_take_half_of_the_slots_to_load_models(monkeypatch):
    monkeypatch.setattr(waiting_threads, "LOADING_PATIENCE", 0.01)
    with contextlib.ExitStack() as held:
        for _ in range(THREADS * 3 // 8):
            held.enter_context(waiting_threads.slot_to_load(99))
        with pytest.raises(Unavailable), waiting_threads.slot_to_load(99):
            pass
        with waiting_threads.slot_to_load(98), waiting_threads.slot_to_load():
            pass
    with waiting_threads.slot_to_load(99):
        pass


def test_few_wait_for_as_long_as_it_takes(busy, pool):
    asked = [pool.submit(busy.learn)]
    assert busy.at_work.wait(60)
    asked += [pool.submit(busy.learn) for _ in range(ROOM)]
    done, _ = wait(asked, timeout=1)
    assert not done
    busy.go.set()
    assert outcomes(asked)[1] == 0
