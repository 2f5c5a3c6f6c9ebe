"""Bodies whose values would take far more memory than their text, and bodies of anybody, are refused before they are read as JSON."""

import pytest

from server.api import codec
from server.streams.errors import TooLarge
from tests.api.conftest import refused

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    "data",
    [
        b'{"user":[' + b"{}," * 3_000_000 + b"{}]}",
        b"[" * 1 + b"[]," * 5_000_000 + b"[]]",
        b"[" + b"1," * 14_000_000 + b"1]",
        b'[{"a":1}' + b',{"a":1}' * 2_500_000 + b"]",
        b'["\xc4\x80"' + b',"\xc4\x80"' * 4_000_000 + b"]",
        b"{" + b",".join(b'"%x":1' % n for n in range(3_000_000)) + b"}",
    ],
    ids=["objects", "lists", "numbers", "objects with a field", "texts", "fields"],
)
def test_values_that_would_take_too_much_memory_are_not_made(data):
    with pytest.raises(TooLarge, match=r"would take about .* MB of memory: the most allowed is 384 MB"):
        codec.parse(data)


def test_as_many_points_as_may_come_at_once_are_read():
    features = ",".join(f'"feature_{n}":{n}.25' for n in range(200))
    data = ('{"observations":[' + ",".join([f'{{"x":{{{features}}},"y":1.5}}'] * 10_000) + "]}").encode()
    assert len(data) > 30_000_000
    assert len(codec.parse(data)["observations"]) == 10_000


def test_more_lines_than_points_may_come_at_once_are_not_read(world, settings):
    settings.TAILRACE = settings.TAILRACE.model_copy(update={"max_points": 10})
    lines = b'{"x": {"a": 1.0, "k": "one"}, "y": 1}\n' * 10
    path = "/api/v1/streams/s/observations/"
    error = refused(world.post(path, lines + b"no json", "application/x-ndjson"), 413, "observations")
    assert "more than 10 observations" in error["message"]
    assert world.post(path, lines, "application/x-ndjson").status_code == 201


@pytest.mark.parametrize("path", ["/api/v1/signin/", "/api/v1/signin/refresh/"])
def test_who_signs_in_sends_a_name_and_a_password_and_no_more(api, path):
    error = refused(api.post(path, b'{"user": "' + b"a" * 2**16 + b'"}'), 413)
    assert f"the most that {path} takes is 65536" in error["message"]


@pytest.mark.parametrize("path", ["/login/", "/logout/", "/account/password/", "/nowhere/"])
def test_a_form_of_a_page_is_small(client, path):
    """It is read before it is known who sent it."""
    assert client.post(path, {"username": "a" * 2**16}).status_code == 413


def test_rows_that_are_too_many_are_not_read(world, settings):
    settings.TAILRACE = settings.TAILRACE.model_copy(update={"max_points": 10})
    for kind, data in (
        ("text/csv", b"a,k\n" + b"1.0,one\n" * 11),
        ("application/jsonlines", b'{"a":1.0,"k":"one"}\n' * 11),
    ):
        error = refused(world.post("/invocations/lin", data, kind), 413)
        assert "11 instances and more in one request: the most allowed is 10" in error["message"]
