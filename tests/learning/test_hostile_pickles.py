"""Uploads that attack the server: each is refused by name, nothing of it runs, and it takes next to nothing."""

import sys

import pytest
from river import linear_model, stats

from server.core.errors import Invalid
from server.learning.pickles import machine
from server.learning.pickles.loader import load_estimator
from tests.learning.hostile_payloads import BOMBS, CANARY, PAYLOADS, inside, number
from tests.learning.loading import Loader

pytestmark = pytest.mark.one_database  # bytes in, a refusal out


@pytest.fixture(autouse=True)
def canary():
    CANARY.unlink(missing_ok=True)
    yield
    assert not CANARY.exists(), "the upload ran a command"


@pytest.mark.parametrize(("data", "named"), PAYLOADS.values(), ids=PAYLOADS)
def test_it_is_refused_by_name_and_nothing_runs(data: bytes, named: str) -> None:
    modules = set(sys.modules)
    with pytest.raises(Invalid) as caught:
        load_estimator(data)
    assert named in caught.value.message
    assert len(caught.value.message) < 700
    assert not {"antigravity", "runpy"} & (set(sys.modules) - modules), "the upload had a module imported"


@pytest.mark.parametrize(("expression", "named"), BOMBS.values(), ids=BOMBS)
def test_a_bomb_is_refused_within_a_gigabyte(expression: str, named: str, loader: Loader) -> None:
    """In a process of its own, whose memory is limited, so that one that goes off is seen to."""
    code, said = loader(expression)
    assert code == 0, said
    assert named in said


def test_a_refused_upload_leaves_river_as_it_was() -> None:
    before = dict(vars(linear_model.LinearRegression)), dict(vars(stats.Mean))
    for data, _ in PAYLOADS.values():
        with pytest.raises(Invalid):
            load_estimator(data)
    assert (dict(vars(linear_model.LinearRegression)), dict(vars(stats.Mean))) == before


def test_keys_chosen_to_collide_end_in_time(monkeypatch) -> None:
    monkeypatch.setattr(machine, "MAX_SECONDS", -1.0)
    with pytest.raises(Invalid, match="longer than"):
        load_estimator(inside(b"}(" + b"".join(number(i) + b"N" for i in range(1000)) + b"u"))
