"""Results that are kept for the next request."""

import pytest

from server.dashboard.recent_results import RecentResults

pytestmark = pytest.mark.one_database


def test_a_result_is_computed_once_and_the_oldest_is_forgotten():
    kept: RecentResults[int] = RecentResults(2)
    made = []

    def make(value):
        made.append(value)
        return value

    for key in (1, 2, 1, 3, 1, 2):
        assert kept.get(key, lambda key=key: make(key)) == key
    assert made == [1, 2, 3, 2], "2 was used least recently"
    kept.clear()
    assert kept.get(1, lambda: make(7)) == 7


def test_an_error_is_not_kept():
    kept: RecentResults[int] = RecentResults(2)
    with pytest.raises(ZeroDivisionError):
        kept.get("x", lambda: 1 // 0)
    assert kept.get("x", lambda: 5) == 5
