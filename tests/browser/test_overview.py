"""The overview in a real browser: filled by its own commands, and live while points are learned."""

import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.browser.conftest import until
from tests.serving import ROOT, Server

pytestmark = [pytest.mark.slow, pytest.mark.one_database]


@pytest.fixture(scope="module")
def site(start_site: Callable[..., Server]) -> Server:
    """A server with three models on one stream, and a stream without a model."""
    server = start_site(metrics="off")  # what the page shows is written all the same
    for name in ("alpha", "beta"):
        made = {"name": name, "target": {"name": "t", "unit": "s"}}
        assert server.post("/api/v1/streams/", made)[0] == 201
    for n, recipe in enumerate(("linear", "mean", "runtime")):
        model = {"name": f"model-{n}", "stream": "alpha", "recipe": recipe}
        assert server.post("/api/v1/models/", model)[0] == 201
    for n in range(1, 60):
        learn(server, n)
    return server


def learn(server: Server, n: int) -> None:
    assert server.post("/api/v1/streams/alpha/observations/", {"x": {"n": n}, "y": 2.0 * n})[0] == 201


def test_it_is_accessible_and_clean(checked_in_every_look, site):
    checked_in_every_look(site, "/", lambda page: page.locator("svg.spark").first.wait_for())


def test_it_is_usable_on_a_very_large_screen(open_page, checked, site):
    page = open_page(site, "/", viewport={"width": 3840, "height": 2160})
    assert page.locator("table").bounding_box()["width"] > 1800
    checked(page)


def test_what_is_learned_is_seen_without_loading_the_page_again(open_page, checked, site):
    page = open_page(site, "/")
    page.evaluate("window.stays = true")
    seen = page.locator('td[data-label="Observations"]').first
    before = int(seen.inner_text().split()[0].replace(",", ""))
    learn(site, 61)
    until(
        page,
        "n => Number(document.querySelector('td[data-label=Observations]').innerText.split(/\\s/)[0].replace(',', '')) > n",
        before,
    )
    assert page.evaluate("window.stays") is True
    assert page.locator("[data-live-state]").inner_text() == "Live"
    checked(page)


def test_it_stays_as_it_is_while_it_is_paused(open_page, site):
    page = open_page(site, "/")
    page.clock.install()
    page.reload()
    with page.expect_response("**/overview/**"):
        page.clock.run_for(6_000)
    asked = []
    page.get_by_role("button", name="Pause").click()
    page.on("request", lambda request: asked.append(request.url))
    page.clock.run_for(20_000)
    assert asked == []
    assert page.locator("[data-live-state]").inner_text().startswith("Paused at ")
    with page.expect_request("**/overview/**"):
        page.get_by_role("button", name="Pause").click()


def test_a_server_that_does_not_answer_is_said_and_found_again(open_page, site):
    page = open_page(site, "/")
    page.route("**/overview/**", lambda route: route.abort())
    page.get_by_text("No answer from the server since").wait_for()
    page.unroute("**/overview/**")
    page.get_by_text("Live", exact=True).wait_for()
    page.problems.forget("ERR_FAILED")
    page.problems.forget("htmx:")
    page.problems.forget("/htmx-2.min.js")


def test_it_is_searched_filtered_and_sorted_by_keyboard(open_page, checked, site):
    page = open_page(site, "/")
    page.get_by_label("Part of a name").fill("model-1")
    page.keyboard.press("Enter")
    page.wait_for_url("**/?q=model-1*")
    assert page.locator("tbody tr").count() == 1
    page.get_by_role("link", name="All", exact=True).click()
    page.get_by_label("State").select_option("no-model")
    page.get_by_role("button", name="Find").click()
    page.wait_for_url("**state=no-model*")
    assert page.locator("tbody tr").count() == 1
    page.goto("/")
    page.get_by_role("link", name="Model", exact=True).focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**sort=-model*")
    assert page.locator("tbody tr td").first.inner_text().startswith("model-2")
    assert page.reload().ok
    assert page.locator('th[aria-sort="descending"]').count() == 1
    checked(page)


def test_an_empty_server_is_filled_by_the_commands_that_it_shows(open_page, checked, start_site):
    empty = start_site()
    page = open_page(empty, "/", "narrow")
    commands = page.locator("#commands").inner_text()
    checked(page)
    environment = {
        **os.environ,
        "TAILRACE_URL": empty.url,
        "PATH": f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}",
    }
    done = subprocess.run(["sh", "-ec", commands], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    page.reload()
    assert page.locator("tbody tr").count() == 1
    assert "runtime" in page.locator("tbody").inner_text()
