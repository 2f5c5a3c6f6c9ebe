"""Requests find the views that Django's own resolver names, remembered or not."""

import pytest
from django.http import Http404, HttpRequest
from django.urls import get_resolver

from server.runtime.handler import HOT, LONGEST_REMEMBERED, Handler, _remembered

pytestmark = pytest.mark.one_database


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/streams/s/observations/",
        "/api/v1/streams/other/observations/",
        "/api/v1/databases/s/observations/",
        "/api/v1/models/m/predict/",
        f"/api/v1/models/{'m' * LONGEST_REMEMBERED}/predict/",
        "/api/predict/",
        "/api/learn/",
        "/api/v1/models/m/",
    ],
)
def test_a_view_is_found_by_its_address(path):
    before = _remembered.cache_info().currsize
    request = HttpRequest()
    request.path_info = path
    expected = get_resolver().resolve(path)
    for _ in range(2):
        found = Handler().resolve_request(request)
        assert (found.func, found.args, found.kwargs, found.route) == (
            expected.func, expected.args, expected.kwargs, expected.route,
        )  # fmt: skip
        assert request.resolver_match is found
    is_remembered = path.endswith(HOT) and len(path) <= LONGEST_REMEMBERED
    assert _remembered.cache_info().currsize - before <= is_remembered


def test_an_address_that_there_is_not_is_none_however_often_it_is_asked_for():
    request = HttpRequest()
    request.path_info = "/api/v1/nothing/predict/"
    for _ in range(2):
        with pytest.raises(Http404):
            Handler().resolve_request(request)
