"""Values of NumPy and pandas go over the wire as they mean; what can't is refused by the name of its field."""

import datetime
import decimal
import enum
import fractions
import math

import numpy as np
import pandas as pd
import pytest
from tailrace.errors import Unusable
from tailrace.observations.json_values import json_point, json_value
from tailrace.posting.post import make_observation

pytestmark = pytest.mark.one_database

Two = enum.IntEnum("Two", "A B")


@pytest.mark.parametrize(
    "value, sent",
    [
        (np.int64(3), 3), (np.float32(0.5), 0.5), (np.float16(0.25), 0.25), (np.longdouble(0.5), 0.5), (np.array(1.5), 1.5),
        (np.array([2.0]), 2.0), (np.bool_(True), True), (np.str_("cu"), "cu"), (decimal.Decimal("2.5"), 2.5),
        (fractions.Fraction(1, 2), 0.5), (Two.B, 2), (True, True), ("foo", "foo"), (-0.0, -0.0), (2**53 + 1, 2**53 + 1),
    ],
)  # fmt: skip
def test_a_number_is_one_whatever_its_type(value, sent):
    found = json_value(value, "y")
    assert found == sent
    assert type(found) in (int, float, bool, str, Two)


@pytest.mark.parametrize(
    "value, why",
    [
        (np.array([1, 2, 3]), "an array of 3 values: expected one number"),
        (np.zeros((2, 3)), "an array of 2 by 3 values"),
        (np.array([]), "an array of 0 values"),
        (np.datetime64("2026-01-01"), "the date 2026-01-01: expected a number"),
        (pd.Timestamp("2026-01-01"), "the date 2026-01-01 00:00:00"),
        (datetime.date(2026, 1, 1), "the date 2026-01-01"),
        (np.timedelta64(120, "s"), "the duration 120 seconds: expected a number; send it in seconds"),
        (pd.Timedelta("2min"), "the duration 0 days 00:02:00"),
        (datetime.timedelta(minutes=2), "the duration 0:02:00"),
        (None, "None: expected a value"),
        (pd.NA, "<NA>: expected a value"),
        (pd.NaT, "NaT: expected a value"),
        (math.nan, "nan: expected a finite number"),
        (np.float32("nan"), "nan: expected a finite number"),
        (math.inf, "inf: expected a finite number"),
        (decimal.Decimal("NaN"), "nan: expected a finite number"),
        (1j, "1j: expected a number, a boolean or a text"),
        (b"a", "b'a': expected a number"),
        (object, "<class 'object'>: expected a number"),
        ({"a": 1}, "{'a': 1}: expected a number"),
        ([1, 2], "[1, 2]: expected a number"),
    ],
)
def test_what_can_not_be_sent_is_refused_by_name(value, why):
    for made, name in (
        (lambda: json_point({"size": value}), "x['size']"),
        (lambda: make_observation({"a": 1}, value), "y"),
    ):
        with pytest.raises(Unusable) as found:
            made()
        assert str(found.value).startswith(f"{name} is {why}"), found.value


def test_a_series_is_a_point_without_what_is_missing_in_it():
    assert json_point(pd.Series({"x": 8, "y": math.nan, "g": "cu", "z": None})) == {"x": 8, "g": "cu"}


@pytest.mark.parametrize(
    "x, why",
    [
        ([1, 2], "x is [1, 2]: expected features by name"),
        ({1: 1, "1": 2}, "x has two features called '1'"),
        ({("a", "b"): 1}, "x has a feature called ('a', 'b'): expected a text"),
        (pd.Series([1, 2], index=["a", "a"]), "x has two features called 'a'"),
    ],
)
def test_names_of_features_are_texts_each_once(x, why):
    with pytest.raises(Unusable) as found:
        json_point(x)
    assert str(found.value).startswith(why)
