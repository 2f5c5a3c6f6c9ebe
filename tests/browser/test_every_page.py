"""Pages for accounts, and what every page has: themes, times, links, in a real browser."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.browser.conftest import LOOKS, until
from tests.serving import Server

pytestmark = [pytest.mark.slow, pytest.mark.one_database]

PAGES = ("/", "/activity/", "/system/", "/login/", "/account/", "/account/tokens/", "/users/", "/audit/")


@pytest.fixture(scope="module")
def site(start_site: Callable[..., Server]) -> Iterator[Server]:
    """A server with a stream that has learned."""
    server = start_site()
    assert server.post("/api/v1/streams/", {"name": "runs", "target": {"name": "t", "unit": "s"}})[0] == 201
    assert server.post("/api/v1/models/", {"name": "linear", "stream": "runs", "recipe": "linear"})[0] == 201
    for n in range(1, 30):
        assert server.post("/api/v1/streams/runs/observations/", {"x": {"n": n}, "y": 2.0 * n})[0] == 201
    return server


@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_accessible_and_clean(checked_in_every_look, site, path):
    checked_in_every_look(site, path)


@pytest.mark.parametrize("look", LOOKS)
def test_a_page_is_opened_in_each_look(open_page, checked, site, look):
    checked(open_page(site, "/", look))


def test_a_page_that_is_not_there_is_accessible(open_page, checked, site):
    page = open_page(site, "/nothing/")
    page.problems.forget("404")
    checked(page)


def ground(page: Any) -> str:
    return page.evaluate("getComputedStyle(document.body).backgroundColor")


def test_the_theme_is_switched_and_kept(open_page, checked, site):
    page = open_page(site, "/account/")
    light = ground(page)
    page.get_by_label("Theme").select_option("dark")
    dark = ground(page)
    assert dark != light
    checked(page)
    page.goto("/audit/")
    assert ground(page) == dark, "the choice goes with the person from page to page"
    page.get_by_label("Theme").select_option("system")
    assert ground(page) == light
    page.emulate_media(color_scheme="dark")
    until(page, "document.documentElement.dataset.theme === 'dark'")
    assert ground(page) == dark, "the system changed while the page was open"
    page.get_by_label("Theme").select_option("light")
    assert ground(page) == light


def test_times_are_local_with_utc_beside_them(open_page, site):
    page = open_page(site, "/audit/")
    first = page.locator("tbody time").first
    local, utc = first.inner_text(), first.locator(".utc").inner_text()
    assert "GMT+" in local and "UTC" in utc, (local, utc)
    assert "Europe/Berlin" in page.locator("footer").inner_text()


def test_a_page_can_be_read_without_scripts(open_page, checked, site):
    page = open_page(site, "/audit/", java_script_enabled=False)
    assert "UTC" in page.locator("tbody time").first.inner_text()
    assert not page.get_by_label("Theme").is_visible()


def test_what_happens_is_seen_and_gone_on_with(open_page, checked, site):
    page = open_page(site, "/activity/?kind=learn")
    before = page.locator('td[data-label="Observations"]').first.inner_text()
    page.get_by_role("link", name="What comes from now on").click()
    page.get_by_text("Nothing has happened since").wait_for()
    assert site.post("/api/v1/streams/runs/observations/", {"x": {"n": 7}, "y": 77.5})[0] == 201
    page.get_by_text("y = 77.5").wait_for()
    assert page.locator("tbody tr").count() == 1
    assert page.locator('td[data-label="Observations"]').inner_text() == str(int(before) + 1)
    page.get_by_role("link", name="Latest first").click()
    assert "77.5" in page.locator("tbody tr").first.inner_text()
    checked(page)
