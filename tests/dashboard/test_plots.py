"""Plots without scripts: round numbers at the axes, nothing but text in the text, and nothing for what is not finite."""

import math
import re

import pytest

from server.dashboard.plots import Axis, Plot, Point
from server.dashboard.ternary_map import Corner, triangle

pytestmark = pytest.mark.one_database


@pytest.mark.parametrize(
    ("low", "high", "texts"),
    [
        (0, 1, ["0", "0.5", "1"]),
        (0.02, 0.094, ["0.02", "0.04", "0.06", "0.08", "0.1"]),
        (3, 3, ["3", "4"]),
        (-2, 7, ["-5", "0", "5", "10"]),
        (0, 0, ["0", "0.5"]),
    ],
)
def test_an_axis_has_round_numbers_and_holds_its_values(low, high, texts):
    axis = Axis(low, high, 0.0, 100.0)
    assert axis.low <= low <= high <= axis.high
    shown = [text.replace("−", "-") for _, text in axis.ticks()]
    assert len(shown) <= 6
    assert shown == texts


def test_what_is_not_finite_is_left_out_and_nothing_is_no_picture():
    assert Plot("t", "x", "y", [("a", [Point(math.nan, 1.0), Point(1.0, math.inf)])]).svg() == ""
    assert Plot("t", "x", "y", []).svg() == ""
    shown = Plot("t", "x", "y", [("a", [Point(1.0, 2.0), Point(2.0, math.nan), Point(3.0, 4.0, 3.5, 4.5)])]).svg()
    assert len(re.findall("<circle", shown)) == 2
    assert "nan" not in shown.lower()


def test_names_are_text():
    evil = "<script>alert(1)</script>"
    shown = Plot(
        evil, evil, evil, [(evil, [Point(0.0, 1.0, title=evil)]), ("b", [Point(1.0, 2.0)])], level=(1.0, evil)
    ).svg()
    shown += triangle(("Cu", "Zr", evil), [Corner(evil, (1, 1, 0), "good", 5.0, evil, "/x/")])
    assert "<script" not in shown
    assert "&lt;script" in shown


def test_corners_of_a_triangle_are_the_elements():
    marks = [Corner(name, shares, "", 5.0, name, f"/{name}/") for name, shares in (
        ("Cu", (1, 0, 0)), ("Zr", (0, 1, 0)), ("Al", (0, 0, 1)), ("mix", (1, 1, 1)),
    )]  # fmt: skip
    shown = triangle(("Cu", "Zr", "Al"), marks)
    circle = r'<a href="/(\w+)/"><circle class="" cx="([0-9.]+)" cy="([0-9.]+)"'
    places = {name: (float(x), float(y)) for name, x, y in re.findall(circle, shown)}
    top, left, right, middle = (places[name] for name in ("Cu", "Zr", "Al", "mix"))
    assert top[1] < middle[1] < left[1] == right[1]
    assert top[0] == pytest.approx(middle[0], abs=0.1)
    assert left[0] < top[0] < right[0]
