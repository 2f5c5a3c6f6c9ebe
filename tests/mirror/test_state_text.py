"""States are compared by what their pickles say, without loading them."""

import array
import io
import pickle
from typing import Any

import numpy as np
import pytest

from server.core.errors import Invalid
from server.learning.pickles import loader
from server.mirror import state_text
from tests.learning.admitted import examples

pytestmark = pytest.mark.one_database


def said(value: Any) -> list[str]:
    return list(state_text.lines(pickle.dumps(value, 4)))


def test_equal_values_say_the_same_whatever_is_shared() -> None:
    text, pair = "".join(["a", "b"]), (1, 2.5)
    again = "".join(["a", "b"])
    assert pickle.dumps([text, text]) != pickle.dumps([text, again])
    assert said([text, text, pair, pair]) == said([text, again, pair, (int("1"), 2.5)])
    first, second = np.arange(3.0), np.arange(3.0)
    second.dtype = pickle.loads(pickle.dumps(np.dtype("<f8")))
    assert said([first, first.copy()]) == said([first, second])


@pytest.mark.parametrize(
    "one, other",
    [
        ([0.1], [0.1 + 2**-56]),
        ([0.0], [-0.0]),
        ([1], [1.0]),
        ([1], [True]),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ([np.arange(3)], [np.arange(3.0)]),
        ([array.array("d", [1])], [array.array("d", [2])]),
        ({1, 2}, {1, 3}),
        ("None", None),
    ],
)
def test_different_values_do_not(one: Any, other: Any) -> None:
    assert said(one) != said(other)


def test_what_is_the_same_object_is_not_what_is_equal() -> None:
    shared: list[int] = []
    assert said([shared, shared]) != said([shared, []])
    round_: list[Any] = []
    round_.append(round_)
    assert said(round_) == ["list 1", "again 0"]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"cos\nsystem\n(S'touch evil'\ntR.",
        b"\x80\x04.",
        b"\x80\x04h\x05.",
        b"\x80\x04]e.",
        b"\x80\x04K\x01K\x02.",
        b"\x80\x04K\x01b.",
    ],
)
def test_what_is_no_state_is_refused(data: bytes) -> None:
    with pytest.raises(Invalid):
        list(state_text.lines(data))


def test_a_pickle_that_says_far_more_than_it_has_bytes_is_refused() -> None:
    file = io.BytesIO()
    file.write(b"\x80\x04K\x01\x94")
    for number in range(60):
        file.write(b"h" + bytes([number]) + b"\x86\x94")
    file.write(b".")
    with pytest.raises(Invalid, match="far more than it has bytes"):
        list(state_text.lines(file.getvalue()))


def test_every_estimator_says_the_same_after_it_was_stored_and_read() -> None:
    for name, data in examples().items():
        state = loader.dump_state({"estimator": loader.load_state(data)})
        again = loader.dump_state(loader.load_state(state))
        assert list(state_text.lines(state)) == list(state_text.lines(again)), name
