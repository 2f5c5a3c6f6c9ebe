"""Numbers, rates, ages and sparklines, as pages show them."""

import doctest
from datetime import UTC, datetime, timedelta

import pytest
from bs4 import BeautifulSoup

from server.dashboard import formatting

pytestmark = pytest.mark.one_database

NOW = datetime(2026, 11, 30, 16, 0, tzinfo=UTC)


def test_the_examples_are_true():
    assert doctest.testmod(formatting).failed == 0


@pytest.mark.parametrize(
    "seconds, text",
    [
        (0, "0 s ago"), (119, "119 s ago"), (120, "2 min ago"), (7199, "119 min ago"), (7200, "2 h ago"),
        (172_800, "2 days ago"), (10**9, "11,574 days ago"), (-300, "in 5 min"),
    ],
)  # fmt: skip
def test_an_age_is_in_the_unit_of_which_there_are_two(seconds, text):
    assert formatting.age(NOW - timedelta(seconds=seconds), NOW) == text


def test_a_time_is_utc_for_those_without_scripts():
    element = BeautifulSoup(formatting.time_element(NOW), "html.parser").time
    assert element["datetime"] == "2026-11-30T16:00:00Z"
    assert element["title"] == "2026-11-30 16:00:00 UTC"
    assert element.get_text() == "2026-11-30 16:00 UTC"
    assert formatting.time_element(None, nothing="never") == "never"


@pytest.mark.parametrize("values", [[1.0], [1.0, 1.0], [3.0, None, 1.0], [None, -1e300, 1e300], [0.0] * 40])
def test_a_sparkline_stays_in_its_picture_and_says_what_it_shows(values):
    svg = BeautifulSoup(formatting.sparkline(values, "rolling <RMSE>"), "html.parser").svg
    assert svg["aria-label"].startswith("rolling <RMSE>: now ")
    points = [tuple(map(float, at.strip("ML").split(","))) for at in svg.path["d"].split()]
    assert len(points) == sum(value is not None for value in values)
    assert all(0 <= x <= formatting.WIDTH and 0 <= y <= formatting.HEIGHT for x, y in points)


def test_a_sparkline_of_nothing_is_a_dash():
    assert "svg" not in formatting.sparkline([], "RMSE")
    assert "svg" not in formatting.sparkline([None, None], "RMSE")
