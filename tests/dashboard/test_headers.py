"""What browsers are told about each page: what it may load, where it may be shown, and that it is for one person."""

from collections.abc import Callable

import pytest
from django.http import HttpResponse
from django.test import Client

from tests.dashboard.browser import Browser

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]

PAGES = (
    "/",
    "/activity/",
    "/system/",
    "/login/",
    "/account/",
    "/account/tokens/",
    "/users/",
    "/users/ada/",
    "/new-user/",
    "/audit/",
    "/nothing/",
    "/logout/",
)


def policy(response: HttpResponse) -> dict[str, set[str]]:
    parts = [part.split() for part in response.headers["Content-Security-Policy"].split(";")]
    return {name: set(sources) for name, *sources in parts}


@pytest.mark.parametrize("path", PAGES)
def test_a_page_loads_from_this_server_alone_and_runs_nothing_inline(signed_in: Callable[..., Browser], path: str):
    response = signed_in("ada", "admin").get(path).response
    assert policy(response) == {
        "default-src": {"'none'"},
        "script-src": {"'self'"},
        "style-src": {"'self'"},
        "connect-src": {"'self'"},
        "img-src": {"'self'", "data:"},
        "form-action": {"'self'"},
        "frame-ancestors": {"'none'"},
        "base-uri": {"'none'"},
    }
    assert response.headers["X-Frame-Options"] == "DENY"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Referrer-Policy"] == "same-origin"
    assert response.headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert "camera=()" in response.headers["Permissions-Policy"]
    assert response.headers["Cache-Control"] == "no-store"


def test_an_export_is_kept_by_no_cache(signed_in):
    response = signed_in("ada", "admin").get("/audit/export/").response
    assert response.headers["Cache-Control"] == "no-store"


def test_the_documentation_runs_the_scripts_of_this_server_and_no_others(client: Client):
    for path in ("/api/v1/docs/", "/api/v1/docs/?script="):
        response = client.get(path)
        assert response.status_code == 200
        found = policy(response)
        assert found["default-src"] == {"'none'"}
        assert found["script-src"] == found["style-src"] == found["connect-src"] == {"'self'"}
        assert found["frame-ancestors"] == found["form-action"] == found["base-uri"] == {"'none'"}
        assert response.headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert response.headers["Content-Type"].startswith("application/javascript")
