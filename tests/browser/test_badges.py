"""The page of a model's badge, in a real browser; the badge itself, embedded in a page of another site."""

from collections.abc import Callable, Iterator

import pytest

from tests.browser.conftest import until
from tests.serving import Server

pytestmark = [pytest.mark.slow, pytest.mark.one_database]
PAGE = "/models/linear/badge/"


@pytest.fixture(scope="module")
def site(start_site: Callable[..., Server]) -> Iterator[Server]:
    """A server with a model that has learned."""
    server = start_site()
    assert server.post("/api/v1/streams/", {"name": "runs", "target": {"name": "t", "unit": "s"}})[0] == 201
    assert server.post("/api/v1/models/", {"name": "linear", "stream": "runs", "recipe": "linear"})[0] == 201
    for n in range(1, 30):
        assert server.post("/api/v1/streams/runs/observations/", {"x": {"n": n}, "y": 2.0 * n})[0] == 201
    return server


def painted(page, pictures):
    until(
        page,
        f"[...document.images].filter((i) => i.complete && i.naturalWidth > 0 && i.src.includes('/badge/')).length === {pictures}",
    )


def test_the_page_is_accessible_and_clean(checked_in_every_look, site):
    checked_in_every_look(site, PAGE, lambda page: painted(page, 2))


def test_every_control_is_used(open_page, checked, site):
    page = open_page(site, PAGE)
    page.get_by_role("button", name="Show it to everybody").click()
    assert "Everybody may see the badge now" in page.inner_text("main")
    page.get_by_role("button", name="Give it an address of its own").click()
    first = page.locator("pre.copy").last.inner_text()
    page.get_by_role("button", name="Renew its own address").click()
    assert page.locator("pre.copy").last.inner_text() != first
    checked(page)
    page.get_by_role("button", name="Withdraw that address").click()
    page.get_by_role("button", name="Don't show it to everybody").click()
    assert page.locator("pre.copy").count() == 2, "this server is open: everybody sees it"


def test_the_badge_runs_nothing_and_is_shown_alone(open_page, site):
    page = open_page(site, "/badge/linear.svg")
    assert page.evaluate("document.querySelectorAll('script, style, a, foreignObject').length") == 0
    assert "linear" in page.evaluate("document.documentElement.textContent")
    page.goto(PAGE)  # a browser takes no picture of a picture
