"""The page that compares models, in a real browser."""

import random
from collections.abc import Callable, Iterator

import pytest

from tests.serving import Server

pytestmark = [pytest.mark.slow, pytest.mark.one_database]

PAGES = {
    "none": "/compare/",
    "one": "/compare/?model=linear",
    "two": "/compare/?model=linear&model=runtime",
    "far": "/compare/?model=linear&model=runtime&first=10000",
}


@pytest.fixture(scope="module")
def site(start_site: Callable[..., Server]) -> Iterator[Server]:
    """A server whose two models have learned 300 jobs, with their records."""
    server = start_site()
    target = {"name": "loop_time", "unit": "s"}
    assert server.post("/api/v1/streams/", {"name": "runs", "target": target, "segment": "kind"})[0] == 201
    for recipe in ("linear", "runtime"):
        assert server.post("/api/v1/models/", {"name": recipe, "stream": "runs", "recipe": recipe})[0] == 201
    rng = random.Random(1)
    points = []
    for n in range(300):
        x = {"size": rng.uniform(1, 10), "kind": n % 3}
        points.append({"x": x, "y": (50 + 30 * x["size"]) * rng.lognormvariate(0, 0.05)})
    assert server.post("/api/v1/streams/runs/observations/", {"observations": points})[0] == 201
    return server


@pytest.mark.parametrize("path", PAGES.values(), ids=PAGES)
def test_a_page_is_accessible_and_clean(checked_in_every_look, site, path):
    def ready(page):
        if path == PAGES["two"]:
            recorded(page)
            page.locator(".uplot canvas").wait_for()

    checked_in_every_look(site, path, ready)


def recorded(page):
    """Wait until the background has written the records."""
    for _ in range(100):
        if page.locator("#comparison").count():
            return
        page.wait_for_timeout(200)
        page.reload()
    raise AssertionError(page.inner_text("main"))


def test_every_control_is_used(open_page, checked, site):
    page = open_page(site, "/compare/")
    page.get_by_role("combobox", name="Stream").select_option("runs")
    page.get_by_role("button", name="Choose its models").click()
    page.get_by_label("linear linear").check()
    page.get_by_role("button", name="Compare").click()
    assert "Only linear is chosen" in page.inner_text("main")
    page.get_by_label("runtime runtime").check()
    page.get_by_label("From observation").fill("51")
    page.get_by_label("To observation").fill("250")
    page.get_by_role("button", name="Compare").click()
    recorded(page)
    assert "model=linear&model=runtime&first=51&last=250" in page.url
    assert "Use runtime" in page.inner_text("main")
    page.locator(".uplot canvas").wait_for()
    page.get_by_text("Table", exact=True).click()
    assert page.locator("#comparison tbody tr").count() > 5
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV").click()
    assert download.value.suggested_filename == "tailrace-comparison.csv"
    with page.expect_download() as download:
        page.get_by_role("button", name="PNG").click()
    assert download.value.suggested_filename == "tailrace-comparison.png"
    checked(page)
    page.get_by_label("From observation").fill("300")
    page.get_by_role("button", name="Compare").click()
    page.problems.forget("400")
    assert "expected first to be at most last" in page.inner_text("main")
    checked(page)


def test_the_page_can_be_used_without_scripts(open_page, site):
    page = open_page(site, PAGES["two"], java_script_enabled=False)
    recorded(page)
    assert page.locator("#comparison svg.plot path.curve").count() == 2
