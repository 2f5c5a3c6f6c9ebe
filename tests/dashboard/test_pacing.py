"""How long open pages wait: however many there are, a process answers a bounded number of questions a second."""

import pytest

from server.dashboard import pacing
from server.dashboard.pacing import LEAST, MOST, MOST_PER_SECOND, Pace

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]


def rate(charts: int, seconds: float = 300.0) -> float:
    """Questions a second in the last two thirds of a time, of charts that wait as they are told."""
    pace, asked = Pace(), 0
    due = [(LEAST * n / charts, LEAST) for n in range(charts)]
    while True:
        at, waited = due.pop(0)
        if at > seconds:
            return asked / (2 * seconds / 3)
        asked += at > seconds / 3
        wait = pace.next_wait(str(waited), at)
        due.append((at + wait, wait))
        due.sort()


def test_a_few_pages_ask_as_often_as_they_like():
    assert rate(2) == pytest.approx(2 / LEAST, rel=0.1)


@pytest.mark.parametrize("charts", [20, 60, 100])
def test_many_pages_wait_longer_so_that_all_of_them_ask_no_more(charts):
    assert rate(charts) == pytest.approx(MOST_PER_SECOND, rel=0.35)


@pytest.mark.parametrize("waited", ["", "nan", "-inf", "1e9", "x", "2"])
def test_a_wait_that_is_none_is_bounded(waited):
    assert LEAST <= Pace().next_wait(waited, 0.0) <= MOST


def test_the_answer_to_a_page_that_waited_says_how_long_to_wait(client):
    assert pacing.HEADER not in client.get("/login/").headers
    assert float(client.get("/login/", headers={pacing.HEADER: "2"}).headers[pacing.HEADER]) >= LEAST
