"""What others sent is shown short, quickly, and so that it can be encoded."""

import time
from typing import Any

import orjson
import pytest

from server.core.errors import LONGEST_MESSAGE, Invalid
from server.core.json_codec import dumps
from server.core.printable import Plain, brief, encodable

pytestmark = pytest.mark.one_database


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value, value]
    return value


class Endless:
    def __repr__(self) -> str:
        raise AssertionError("it was asked for its text")

    __str__ = __repr__


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a", "'a'"),
        (1.5, "1.5"),
        ([1, "b", None, True], "[1, 'b', None, True]"),
        ({"a": (1,), "b": {}}, "{'a': (1,), 'b': {}}"),
        ("x" * 100, "'" + "x" * 76 + "..."),
        ("\ud800", "'\\ud800'"),
        (10**5000, "<an integer of 16610 bits>"),
        (Endless(), "<tests.test_printable.Endless>"),
    ],
    ids=["text", "number", "list", "object", "long text", "a surrogate", "a huge integer", "an object of a class"],
)
def test_a_value_is_shown_as_python_writes_it_and_cut(value, expected):
    assert brief(value) == expected


def test_no_more_is_looked_at_than_is_shown():
    began = time.process_time()
    assert len(brief(nested(60))) == 80  # it unfolds to 2**60 values
    assert len(brief("é" * 10_000_000)) == 80
    told = Plain().of({"a": nested(60), "b": 10**100_000, ("k", 10**5000): "y" * 10**7})
    assert len(orjson.dumps(told)) < 10**6
    assert time.process_time() - began < 10  # it would take for ever


def test_what_finds_no_room_is_named():
    assert Plain(room=6).of([1] * 10) == [1, 1, 1, 1, 1, "… 5 more"]
    assert Plain(room=9).of({str(n): n for n in range(9)}) == {"0": 0, "1": 1, "2": 2, "3": 3, "…": "5 more"}


def test_text_that_cannot_be_encoded_is_escaped():
    assert encodable("a\ud800b", 100) == "a\\ud800b"
    assert encodable("é\ud800" * 100, 10).encode()
    assert len(encodable("\ud800" * 100, 10)) == 10


def test_an_answer_is_encoded_whatever_is_in_it():
    value = {"a": "\ud800", "b": 2**70, "c": {1, "x"}, "d": object(), "e": [1.5, None], "f": float("nan")}
    found = orjson.loads(dumps(value))
    assert (found["a"], found["b"], found["e"], found["f"]) == ("\\ud800", str(2**70), [1.5, None], None)
    assert len(found["c"]) == 2
    assert found["d"] == "builtins.object"


def test_an_error_is_short_and_can_be_encoded():
    error = Invalid("\ud800" * 10**6, field="x." + "y" * 10**6)
    assert len(error.message.encode()) <= LONGEST_MESSAGE + 2
    assert len(error.field or "") <= 1000
