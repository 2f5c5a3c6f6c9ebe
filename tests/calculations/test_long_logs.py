"""Logs that are longer than what the server keeps: the agent's upload and the server's log together, with faults between them."""

import random

import pytest
from tailrace.agent.held_step import HeldStep
from tailrace.agent.job_script import OUTPUT
from tailrace.agent.log_upload import LATEST, send_log
from tailrace.errors import Unreachable

from server.calculations import logs
from server.calculations.models import Attempt, LogChunk
from server.dashboard.log_text import readable
from tests.calculations.conftest import API

pytestmark = pytest.mark.django_db
LIMIT = 2**20
HALF = LIMIT // 2


class Calls:
    """The agent's calls, made to the server of the test. ``lose`` says what becomes of each."""

    def __init__(self, agent, lose=lambda: ""):
        self.agent, self.lose, self.made = agent, lose, []

    def put_log(self, step, fence, offset, content, after=None):
        fate = self.lose()
        if fate == "request":
            raise Unreachable("it is lost")
        more = "" if after is None else f"&after={after}"
        self.made.append((f"steps/{step}/log?fence={fence}&offset={offset}{more}", content))
        answer = self.agent.put(*self.made[-1])
        assert answer.status_code in (200, 409), answer.content
        if fate == "answer":
            raise Unreachable("its answer is lost")
        return answer.json()["next"]


class Log:
    """An output that grows, its upload, and what the server has of it."""

    def __init__(self, agent, ada, made, folder, lose=lambda: ""):
        (self.work,) = agent.claim(1)
        agent.permit(self.work)
        self.folder, self.ada, self.made = folder, ada, made
        self.calls, self.content, self.random = Calls(agent, lose), b"", random.Random(1)
        self.restart()

    def restart(self):
        self.held = HeldStep(self.work["step"], self.work["fence"], self.folder)

    def grow(self, size):
        self.content += self.random.randbytes(size // 2 + 1).hex().encode()[:size]
        (self.folder / OUTPUT).write_bytes(self.content)

    def send(self, *, ended=False):
        while not send_log(self.calls, self.held, LIMIT, ended=ended):
            pass

    def read(self, **query):
        asked = "&".join(f"{name}={value}" for name, value in query.items())
        return self.ada.ok(f"{API}{self.made['id']}/steps/main/log/?{asked}")

    def kept(self):
        """All that the server has, as (offset, text), read from the beginning."""
        parts, offset = [], 0
        while (part := self.read(offset=offset, limit=2**20))["text"]:
            parts.append((part["offset"], part["text"].encode()))
            assert part["next"] > offset
            offset = part["next"]
        return parts

    def check_end(self):
        """The beginning and the end are there, each half of the limit, and what is between is said to be left out."""
        size = len(self.content)
        last = self.read(tail=1000)
        assert (last["size"], last["next"]) == (size, size)
        for offset, text in self.kept():
            assert self.content[offset : offset + len(text)] == text
        covered = sorted((offset, offset + len(text)) for offset, text in self.kept())
        gap = last["dropped"]
        if gap is None:
            assert sum(end - begin for begin, end in covered) == size
        else:
            assert gap[0] >= HALF
            assert gap[1] <= size - HALF
            assert sum(end - begin for begin, end in covered) == size - (gap[1] - gap[0])


@pytest.fixture
def start(agent, submit, ada, tmp_path, settings):
    settings.TAILRACE = settings.TAILRACE.model_copy(update={"log_limit_mb": 1})
    return lambda **options: Log(agent, ada, submit(), tmp_path, **options)


def test_the_latest_lines_of_a_long_log_are_seen_while_it_grows(start):
    log = start()
    for size in (1000, HALF - 1000, 1, 300_000, 3_000_000, 10, 5_000_000):
        log.grow(size)
        log.send()
        seen = log.read(tail=1000)
        assert seen["text"].encode() == log.content[-1000:]
        assert seen["size"] == len(log.content)
    assert log.read(limit=1000)["text"].encode() == log.content[:1000]
    assert sum(len(content) for _, content in log.calls.made) <= HALF + 4 * LATEST
    assert sum(len(one.data) for one in LogChunk.objects.all()) <= LIMIT + LATEST
    log.send(ended=True)
    log.check_end()


@pytest.mark.parametrize("size", [0, 10, HALF, LIMIT, LIMIT + 1, 5 * LIMIT])
def test_a_log_that_is_sent_at_its_end_keeps_beginning_and_end(start, size):
    log = start()
    log.grow(size)
    log.send(ended=True)
    log.check_end()
    if size <= LIMIT:
        assert log.read()["dropped"] is None


@pytest.mark.parametrize("seed", range(4))
def test_lost_answers_and_restarts_lose_and_double_nothing(start, seed):
    chance = random.Random(seed)
    log = start(lose=lambda: chance.choice(["", "", "request", "answer"]))

    def go(*, ended=False):
        for _ in range(200):
            try:
                return log.send(ended=ended)
            except Unreachable:
                if chance.random() < 0.2:
                    log.restart()
        raise AssertionError("it was never sent")

    for _ in range(8):
        log.grow(chance.choice([1, 1000, 200_000, 600_000, 2_000_000]))
        go()
        if chance.random() < 0.3:
            log.restart()
        again = chance.choice(log.calls.made)  # one that was delayed comes once more
        before = log.read(tail=1000)
        log.calls.agent.put(*again)
        assert log.read(tail=1000) == before
    go(ended=True)
    log.check_end()


def test_the_end_begins_anew_only_after_the_beginning_and_only_once(start):
    log = start()
    step, fence = log.work["step"], log.work["fence"]

    def put(offset, content, after):
        answer = log.calls.agent.put(f"steps/{step}/log?fence={fence}&offset={offset}&after={after}", content)
        return answer.status_code, answer.json()["next"]

    assert put(HALF, b"end", 0) == (409, 0), "the beginning is missing"
    log.grow(HALF)
    log.send()
    assert put(HALF - 1, b"end", HALF) == (409, HALF), "it would overwrite the beginning"
    assert put(9 * HALF, b"end", HALF) == (200, 9 * HALF + 3)
    assert put(9 * HALF, b"end", HALF) == (409, 9 * HALF + 3), "repeated"
    assert put(HALF, b"", 9 * HALF + 3)[0] == 200, "nothing to begin with"
    assert log.read(tail=3)["text"] == "end"


def test_a_gap_stays_a_gap_when_the_limit_is_raised(start, settings):
    log = start()
    log.grow(5 * LIMIT)
    log.send(ended=True)
    settings.TAILRACE = settings.TAILRACE.model_copy(update={"log_limit_mb": 100})
    log.check_end()


def test_a_read_costs_what_it_shows(start, django_assert_max_num_queries):
    log = start()
    attempt = Attempt.objects.get(step__uid=log.work["step"])
    LogChunk.objects.bulk_create(LogChunk(attempt=attempt, offset=10 * n, data=b"0123456789") for n in range(3000))
    attempt.log_next = 30_000
    with django_assert_max_num_queries(2):
        assert logs.read(attempt, 12_345, 10)["text"] == "5678901234"


@pytest.mark.one_database
@pytest.mark.parametrize("text, shown", [
    ("\x1b[1;31mred\x1b[0m\n", "red\n"),
    ("\x1b]0;title\x07ok \x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "ok link"),
    ("\x1b[2J\x1b[H\x1b(Ba\tb", "a\tb"),
    (" 10 %\r 20 %\r\ndone", " 10 %\n 20 %\ndone"),
    ("a\x00b\x07\x7f\x9b31m", "a␀b␇␡\ufffd31m"),
    ("\u202egnp.exe", "\ufffdgnp.exe"),
    ("\x1b", "␛"),
    ("\x1b[" + "1;" * 50_000, "␛[" + "1;" * 50_000),
    ("\x1b]" * 30_000, "␛]" * 30_000),
])  # fmt: skip
def test_nothing_in_a_log_acts_on_a_page(text, shown):
    assert readable(text) == shown
