"""Which jobs a sweep runs."""

import pytest

from lammps_jobs.sweep.parameter_space import RangeError, sample, size, values_of

pytestmark = pytest.mark.one_database

VALUES = {"x": tuple(range(1, 11)), "y": (2, 4, 8), "z": (5,)}


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("8", (8,)),
        ("4,8,16", (4, 8, 16)),
        ("3:6", (3, 4, 5, 6)),
        ("2:9:3", (2, 5, 8)),
        ("1,2,4:6,5", (1, 2, 4, 5, 6)),
    ],
)
def test_a_range_is_said_in_one_word(text, values):
    assert values_of(text) == values


@pytest.mark.parametrize(
    "text", ["", "a", "0", "-1", "1.5", ":3", "3:", "1:2:3:4", "5:3", "1:2:0", "²", "1:999999999", "9" * 40]
)
def test_what_is_no_range_is_refused_with_what_was_expected(text):
    with pytest.raises(RangeError, match="expected"):
        values_of(text)


@pytest.mark.parametrize("how", ["random", "grid", "lhs"])
def test_every_sampler_keeps_to_the_values_and_repeats_itself(how):
    points = sample(VALUES, how, 12, seed=3)
    assert len(points) == 12
    assert all(point[name] in VALUES[name] for point in points for name in VALUES)
    assert sample(VALUES, how, 12, seed=3) == points
    assert (sample(VALUES, how, 12, seed=4) == points) is (how == "grid")


def test_random_takes_every_combination_once_before_any_comes_again():
    total = size(VALUES)
    points = sample(VALUES, "random", 2 * total, seed=1)
    for half in (points[:total], points[total:]):
        assert len({tuple(point.values()) for point in half}) == total


@pytest.mark.parametrize("how", ["random", "grid"])
def test_a_longer_sweep_begins_with_a_shorter_one(how):
    assert sample(VALUES, how, 20, seed=1)[:7] == sample(VALUES, how, 7, seed=1)


def test_a_latin_hypercube_takes_each_value_equally_often():
    points = sample(VALUES, "lhs", 30, seed=1)
    for name, values in VALUES.items():
        assert sorted(point[name] for point in points) == sorted(values * (30 // len(values)))


def test_the_grid_is_all_there_is():
    points = sample(VALUES, "grid", None, seed=1)
    assert len({tuple(point.values()) for point in points}) == len(points) == size(VALUES)
    with pytest.raises(RangeError, match="more than the 30 combinations"):
        sample(VALUES, "grid", 31, seed=1)


@pytest.mark.parametrize("how", ["random", "lhs"])
def test_how_many_must_be_said_where_there_is_no_end(how):
    with pytest.raises(RangeError, match="--iters is missing"):
        sample(VALUES, how, None, seed=1)
