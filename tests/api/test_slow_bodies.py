"""Where a thread waits for a body, no caller has so many waiting that others find none."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.test import RequestFactory

from server.accounts.caller import Caller
from server.api.slow_bodies import SlowBodies
from server.core.errors import TooMany

pytestmark = pytest.mark.one_database

THREADS = 8


class Callers:
    """Requests whose bodies come when they are told to."""

    def __init__(self):
        self.bodies = SlowBodies(THREADS)
        self.come = threading.Event()
        self.pool = ThreadPoolExecutor(2 * THREADS)

    def send(self, user_id=None, token=None, address="10.0.0.1"):
        request = RequestFactory().post("/", b"{}", "application/json", REMOTE_ADDR=address)
        if user_id is not None:
            fields = dict.fromkeys(Caller.__dataclass_fields__) | {"user_id": user_id, "token_id": token}
            request.caller = Caller(**fields)
        reads = threading.Event()

        def read():
            def call():
                reads.set()
                self.come.wait(60)

            return self.bodies.read(request, call)

        sent = self.pool.submit(read)
        while not (reads.wait(0.001) or sent.done()):
            pass
        return reads.is_set()


@pytest.fixture
def callers():
    callers = Callers()
    yield callers
    callers.come.set()
    callers.pool.shutdown()


def test_one_user_has_half_of_the_threads_whatever_tokens_they_show(callers):
    taken = [callers.send(user_id=1, token=n % 2) for n in range(THREADS)]
    assert sum(taken) == THREADS // 2
    assert callers.send(user_id=2)


def test_the_last_threads_are_for_who_has_none(callers):
    for user in (1, 2):
        for _ in range(THREADS // 2 - 1):
            assert callers.send(user_id=user)
    assert not callers.send(user_id=1)
    assert callers.send(user_id=3)
    assert callers.send(address="10.0.0.2")
    assert not callers.send(address="10.0.0.2")


def test_who_waits_too_long_is_told(callers):
    for _ in range(THREADS // 2):
        assert callers.send(user_id=1)
    request = RequestFactory().post("/", b"{}", "application/json")
    request.caller = Caller(**(dict.fromkeys(Caller.__dataclass_fields__) | {"user_id": 1}))
    with pytest.raises(TooMany, match="4 of your requests have bodies that arrive slowly"):
        callers.bodies.read(request, lambda: b"")
    callers.come.set()
    callers.pool.shutdown()
    assert callers.bodies.read(request, lambda: b"read") == b"read"
