"""Drift: found where an error rises for good, in any unit, and not where it only scatters."""

import random
import subprocess
import sys

import pytest
from tailrace.estimators.drift import DriftDetector
from tailrace.watch.follower import Curve, Follower, error_of

from tests.serving import ROOT

pytestmark = pytest.mark.one_database


def errors(count: int, seed: int, scale: float = 1.0) -> list[float]:
    chance = random.Random(seed)
    return [scale * abs(chance.gauss(0, 1)) for _ in range(count)]


def alarms(some: list[float], labels: bool = False) -> list[int]:
    detector = DriftDetector(labels)
    return [number for number, error in enumerate(some, 1) if detector.learn(error)]


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_a_rise_of_the_error_is_found_whatever_the_unit(scale):
    found = alarms(errors(300, 1, scale) + errors(200, 2, 4 * scale))
    assert found
    assert 300 < found[0] < 380


def test_one_change_gives_one_alarm():
    assert len(alarms(errors(300, 1) + errors(1000, 2, 5.0))) == 1


@pytest.mark.parametrize("seed", range(5))
def test_an_error_that_only_scatters_gives_none(seed):
    assert alarms(errors(20_000, seed)) == []
    chance = random.Random(seed)
    assert alarms([chance.lognormvariate(0, 1.2) for _ in range(20_000)]) == []
    assert alarms([float(chance.random() < 0.3) for _ in range(20_000)], labels=True) == []


def test_outliers_and_getting_better_give_none():
    some = errors(600, 3)
    some[100] = some[300] = some[500] = 1e9
    assert alarms(some) == []
    assert alarms([1000.0 / number for number in range(1, 2000)]) == []
    assert alarms([0.0] * 500) == []


def test_a_classifier_that_begins_to_fail_is_found():
    chance = random.Random(5)
    some = [float(chance.random() < 0.05) for _ in range(300)] + [float(chance.random() < 0.6) for _ in range(100)]
    found = alarms(some, labels=True)
    assert found
    assert 300 < found[0] < 360


@pytest.mark.parametrize(
    ("y", "prediction", "error"),
    [
        (10.0, 7, 3.0), (0, 0, 0.0), (1.0, None, None), (None, 1.0, None), ("fcc", "fcc", 0.0), ("fcc", "bcc", 1.0),
        (True, {"true": 0.9, "false": 0.1}, 0.0), (False, {"true": 0.9, "false": 0.1}, 1.0), (1, {"true": 0.9}, 0.0),
        ("a", {"a": 0.2, "b": 0.8}, 1.0), (2, {"2": 0.7, "3": 0.3}, 0.0), ("a", {}, None), (True, True, 0.0),
        (0, {"true": 0.8, "false": 0.2}, 1.0), ("a", {"a": None, "b": 0.5}, 1.0),
    ],
)  # fmt: skip
def test_the_error_of_one_prediction(y, prediction, error):
    assert error_of(y, prediction) == error


def test_a_curve_never_takes_more_memory_and_keeps_its_ends():
    curve = Curve()
    for n in range(1, 100_001):
        curve.add(n, float(n))
    drawn = curve.drawn()
    assert len(drawn) <= 2001
    assert (drawn[0], drawn[-1]) == ((1, 1.0), (100_000, 100_000.0))
    assert drawn == sorted(drawn)


def observation(seq: int, **more: object) -> dict:
    return {"seq": seq, "at": "2026-11-21T00:00:00+00:00", "x": {"a": 1}, "y": 5.0, **more}


def test_a_follower_notes_why_an_observation_has_no_error():
    follower = Follower("m", "s", "s", 10)
    retracted = {"reason": "throttled", "at": "…"}
    notes = [
        row and (row.error, row.note)
        for row in map(
            follower.take,
            [
                observation(1, predictions={"m": 0.0}),
                observation(2, predictions={"m": 4.0}),
                observation(3, predictions={"m": 400.0}, retracted=retracted),
                observation(4, predictions={"m": None}, errors={"m": "it broke"}),
                observation(5, predictions={"other": 1.0}),
                observation(6),
                observation(7, predictions={"m": 0.0}),
            ],
        )
    ]
    assert notes == [
        (None, "nothing learned yet"), (1.0, ""), (None, "retracted: throttled"), (None, "skipped: it broke"),
        None, None, (5.0, ""),
    ]  # fmt: skip
    assert (follower.last, follower.count, follower.rolling_error) == (7, 2, 3.0)


def test_without_river_it_says_what_to_install():
    code = (
        "import sys; sys.modules['river'] = None\n"
        "from tailrace.watch.follower import Follower\n"
        "try:\n    Follower('m', 's', '', 10)\nexcept ImportError as error:\n    print(error)"
    )
    environment = {"PYTHONPATH": str(ROOT / "client")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "this needs river, which is not installed: pip install 'tailrace[river]'\n"
