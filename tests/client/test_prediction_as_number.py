"""A prediction that is a number can be used as one."""

import pickle

import pytest
from tailrace.results.predictions import Prediction

pytestmark = pytest.mark.one_database

TIME = Prediction(83.24, "runtime", 120, {"x": 8}, "s", 74.1, 95.8)
LABEL = Prediction("slow", "kind", 120, {"x": 8})


def test_it_is_formatted_calculated_with_and_compared():
    assert f"{TIME:.1f}" == "83.2"
    assert f"{TIME}" == "83.24 s (74.1 to 95.8 s at 95 %), runtime after observation 120"
    assert (TIME + 1, 1 + TIME, TIME - 3, 100 - TIME) == (84.24, 84.24, 80.24, 100 - 83.24)
    assert (TIME * 2, 2 * TIME, TIME / 2, 1 / TIME) == (166.48, 166.48, 41.62, 1 / 83.24)
    assert (-TIME, abs(TIME), round(TIME), round(TIME, 1), TIME + TIME) == (-83.24, 83.24, 83, 83.2, 166.48)
    assert TIME < 100
    assert TIME >= 83.24
    assert not TIME > TIME
    assert (int(TIME), int(-TIME)) == (83, -83)
    assert sum([TIME, TIME]) == 166.48
    assert max(TIME, Prediction(90.0, "runtime", 120, {})).value == 90.0
    assert pickle.loads(pickle.dumps(TIME)) == TIME


def test_one_that_is_none_says_so():
    for use in (float, int, lambda one: one + 1, lambda one: f"{one:.2f}" if one is not LABEL else float(one), abs):
        with pytest.raises(TypeError, match="kind predicts 'slow', which is not a number"):
            use(LABEL)
    assert f"{LABEL:>6}" == "  slow"
