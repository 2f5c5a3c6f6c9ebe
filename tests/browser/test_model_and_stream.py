"""The pages of a model and of a stream in a real browser: charts, parts, moments, live updates while jobs really learn."""

import random
import time
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.serving import Server

pytestmark = [pytest.mark.slow, pytest.mark.one_database]
expect.set_options(timeout=15_000)
STREAM = "/api/v1/streams/runs/observations/"


def points(count: int, seed: int) -> list[dict[str, Any]]:
    rng = random.Random(seed)
    found = []
    for n in range(count):
        x = {"size": rng.uniform(1, 9), "kind": rng.choice([1, 2])}
        found.append(
            {
                "x": x,
                "y": 5 + 3 * x["size"] + rng.random(),
                "source": {"job": f"{seed}-{n}", "cluster": rng.choice("AB")},
            }
        )
    return found


@pytest.fixture(scope="module")
def site(start_site: Callable[..., Server]) -> Server:
    """A server with a stream of run times and two models."""
    server = start_site()
    assert (
        server.post("/api/v1/streams/", {"name": "runs", "target": {"name": "time", "unit": "s"}, "segment": "kind"})[0]
        == 201
    )
    for recipe in ("linear", "runtime"):
        assert server.post("/api/v1/models/", {"name": recipe, "stream": "runs", "recipe": recipe})[0] == 201
    assert server.post(STREAM, {"observations": points(300, 1)})[0] == 201
    recorded(server, "linear", "runtime")
    return server


def recorded(server: Server, *models: str) -> None:
    """Wait until the records of these models are written."""
    ends = time.monotonic() + 60
    while any(server.get(f"/api/v1/models/{name}/record/")[1]["behind"] for name in models):
        assert time.monotonic() < ends, "the records are not written"
        time.sleep(0.2)


@pytest.mark.parametrize(
    "path",
    ["/models/runtime/", "/streams/runs/", "/streams/runs/suspects/?seq=17&model=linear", "/streams/runs/settings/"],
)
def test_a_page_is_accessible_and_clean_with_all_its_parts(checked_in_every_look, site, path):
    def ready(page):
        if path.startswith("/models/"):
            page.wait_for_selector("#error .u-over")
            for part in ("scatter", "residuals", "reliability", "segments", "drift", "skipped"):
                page.locator(f"#part-{part}").scroll_into_view_if_needed()
                page.wait_for_selector(f"#part-{part} :is(h2, figcaption)")
            page.wait_for_selector("#scatter .u-over")

    checked_in_every_look(site, path, ready)


def test_charts_read_values_by_keyboard_zoom_and_save_pictures(open_page, site):
    page = open_page(site, "/models/runtime/")
    page.wait_for_selector("#error .u-over")
    readout = page.locator("#error .readout")
    page.locator("#error .u-over").focus()
    page.keyboard.press("Home")
    assert "observation 1" in readout.inner_text()
    page.keyboard.press("ArrowRight")
    assert "observation 2" in readout.inner_text()
    page.keyboard.press("+")
    page.wait_for_url("**last=**")
    assert page.get_by_role("button", name="Whole range").first.is_visible()
    page.keyboard.press("0")
    page.wait_for_url("**/models/runtime/")
    box = page.locator("#error .u-over").bounding_box()
    page.mouse.move(box["x"] + 100, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + 300, box["y"] + 40, steps=4)
    page.mouse.up()
    page.wait_for_url("**first=**")
    page.reload()
    first = page.evaluate("new URL(location.href).searchParams.get('first')")
    assert page.locator("#first").input_value() == first, "the range in the address is the range of the page"
    page.wait_for_selector("#error .u-over")
    with page.expect_download() as download:
        page.locator("#error").get_by_role("button", name="PNG").click()
    assert download.value.suggested_filename == "tailrace-error.png"
    cut = page.locator("#error").get_by_role("button", name="Cut extremes")
    cut.click()
    assert cut.get_attribute("aria-pressed") == "true"
    series = page.locator("#error .readout .key").first
    series.click()
    assert page.locator("#error .readout .key").first.get_attribute("aria-pressed") == "false"


def test_a_chart_that_is_opened_before_anything_came_begins_by_itself(open_page, site):
    assert site.post("/api/v1/streams/", {"name": "empty", "target": {"name": "time"}})[0] == 201
    assert site.post("/api/v1/models/", {"name": "early", "stream": "empty", "recipe": "linear"})[0] == 201
    page = open_page(site, "/models/early/")
    assert site.post("/api/v1/streams/empty/observations/", {"observations": points(5, 7)})[0] == 201
    expect(page.locator("#error .readout")).to_contain_text("observation 5")


def test_a_chart_grows_by_deltas_while_jobs_are_learned(open_page, site):
    asked: list[str] = []
    waits: list[str | None] = []
    page = open_page(site, "/models/linear/")
    page.wait_for_selector("#error .u-over")
    page.on(
        "request", lambda request: (asked.append(request.url), waits.append(request.header_value("x-tailrace-wait")))
    )
    head = site.get("/api/v1/streams/runs/")[1]["head"]
    assert site.post(STREAM, {"observations": points(5, head)})[0] == 201
    expect(page.locator("#error .readout")).to_contain_text(f"observation {head + 5}")
    charts = [url for url in asked if "/charts/" in url]
    assert charts and all("after=" in url for url in charts), "nothing is fetched anew that was there"
    assert all(waits), "each says how long it waited, so that the server can say how long to wait"


def test_many_segments_are_drawn_at_once_and_lead_to_their_charts(open_page, checked, site):
    assert site.post("/api/v1/streams/", {"name": "glass", "target": {"name": "e"}, "segment": "kind"})[0] == 201
    assert site.post("/api/v1/models/", {"name": "glass", "stream": "glass", "recipe": "linear"})[0] == 201
    rng = random.Random(3)
    given = [{"x": {"a": rng.random(), "kind": n % 500}, "y": rng.random()} for n in range(1500)]
    assert site.post("/api/v1/streams/glass/observations/", {"observations": given})[0] == 201
    recorded(site, "glass")
    page = open_page(site, "/models/glass/?show=segments&curve=error", "narrow")
    assert page.locator(".small-charts li").count() == 500
    checked(page)
    page.locator(".small-charts a").nth(7).click()
    page.wait_for_selector("#error .u-over")
    assert "segment=" in page.url


def test_the_log_is_live_and_pauses(open_page, site):
    page = open_page(site, "/streams/runs/")
    head = site.get("/api/v1/streams/runs/")[1]["head"]
    assert site.post(STREAM, {"observations": points(1, head)})[0] == 201
    expect(page.locator("#rows td").first).to_contain_text(str(head + 1))
    page.get_by_role("button", name="Pause").click()
    assert "Paused" in page.locator("[data-live-state]").inner_text()


def test_a_moment_is_loaded_as_the_slider_moves_and_can_be_linked(open_page, site):
    page = open_page(site, "/models/linear/")
    page.locator("#n").evaluate("e => { e.value = 120; e.dispatchEvent(new Event('input', {bubbles: true})); }")
    expect(page.locator("#moment h2")).to_contain_text("120")
    assert "n=120" in page.url
    assert page.locator("#moment dd").first.inner_text() == "120"
    page.reload()
    assert page.locator("#moment dd").first.inner_text() == "120"


def test_a_feature_is_chosen_for_the_residuals(open_page, site):
    page = open_page(site, "/models/linear/")
    page.locator("#part-residuals").scroll_into_view_if_needed()
    page.locator("#feature").select_option("size")
    expect(page.locator("#residuals h2")).to_have_text("Error by size")


def test_suspects_are_chosen_by_dragging_in_the_plot_of_errors(open_page, checked, site):
    page = open_page(site, "/models/linear/")
    page.locator("#part-residuals").scroll_into_view_if_needed()
    page.wait_for_selector("#residuals .u-over")
    page.locator("#residuals .u-over").scroll_into_view_if_needed()
    box = page.locator("#residuals .u-over").bounding_box()
    page.mouse.move(box["x"] + 0.25 * box["width"], box["y"] + 1)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + box["height"] - 1, steps=4)
    page.mouse.up()
    page.get_by_label("Chosen observations").wait_for()
    low, high = (int(page.locator(f"#{name}").input_value()) for name in ("x_from", "x_to"))
    assert 1 < low < high < 300
    assert page.get_by_label("Chosen observations").input_value() == f"{low}-{high}"
    assert page.evaluate("new URL(location.href).search") == "", "it did not zoom"
    checked(page)
    page.get_by_role("button", name="Rehearse without them").click()
    assert f"{high - low + 1} observations chosen" in page.locator("main").inner_text()
    assert "Without them, the RMSE" in page.locator("#rehearsal .sentence").inner_text()


def test_suspects_are_chosen_by_keyboard(open_page, site):
    page = open_page(site, "/models/linear/")
    page.locator("#part-residuals").scroll_into_view_if_needed()
    page.wait_for_selector("#residuals .u-over")
    page.locator("#residuals .u-over").focus()
    for key in ("Home", "ArrowRight", "Space"):
        page.keyboard.press(key)
    expect(page.locator("#residuals .readout")).to_contain_text("Space again ends it")
    for key in ("ArrowRight", "ArrowRight", "Space"):
        page.keyboard.press(key)
    expect(page.get_by_label("Chosen observations")).to_have_value("3-5")  # the first is never scored
    page.get_by_label("Error from").fill("1e9")
    page.get_by_label("Error from").press("Enter")
    expect(page.locator("#brushed")).to_contain_text("No scored observation is in this range")


def test_every_page_is_readable_without_scripts(open_page, site):
    page = open_page(site, "/models/runtime/?show=scatter&show=segments", java_script_enabled=False)
    assert page.locator("svg.plot").count() == 3
    assert page.locator("#part-segments tbody tr").count() == 2
    page.locator("#error .behind summary").click()
    assert page.locator("#error tbody tr").count() > 10
    page.goto("/streams/runs/")
    page.get_by_role("link", name="Older").click()
    assert "n=" in page.url


def test_a_suspect_is_rehearsed_and_retracted(open_page, site):
    page = open_page(site, "/streams/runs/?n=17")
    page.locator("#rows summary").first.click()
    page.get_by_role("link", name="Is it wrong?").first.click()
    assert "Without them, the RMSE" in page.locator("#rehearsal .sentence").inner_text()
    page.get_by_label("Reason").fill("a wrong unit")
    page.get_by_role("button", name="Retract 1 observation").click()
    assert "1 observation retracted" in page.locator(".message").inner_text()
