"""The page of wall times, in a real browser."""

import random
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.serving import ROOT, Server

pytestmark = [pytest.mark.slow, pytest.mark.one_database]

PAGES = {
    "first": "/models/runtime/walltime/",
    "requests": "/models/runtime/walltime/?x.size=4&x.nodes=2&percent=10&nodes=nodes&request=asked",
    "none": "/models/linear/walltime/?x.size=4&x.nodes=2",
    "wrong": "/models/runtime/walltime/?x.size=abc&quantile=7",
}


@pytest.fixture(scope="module")
def site(start_site: Callable[..., Server]) -> Iterator[Server]:
    """A server whose models have learned 200 jobs, with what their users asked for."""
    server = start_site()
    target = {"name": "loop_time", "unit": "s"}
    assert server.post("/api/v1/streams/", {"name": "runs", "target": target})[0] == 201
    for recipe in ("linear", "runtime"):
        assert server.post("/api/v1/models/", {"name": recipe, "stream": "runs", "recipe": recipe})[0] == 201
    rng = random.Random(1)
    points = []
    for n in range(200):
        x = {"size": rng.uniform(1, 10), "nodes": 1 + n % 4}
        y = (50 + 30 * x["size"]) * rng.lognormvariate(0, 0.1)
        points.append({"x": x, "y": y, "source": {"asked": 60.0 * (1 + n % 12)}})
    for low in range(0, 200, 20):
        assert server.post("/api/v1/streams/runs/observations/", {"observations": points[low : low + 20]})[0] == 201
    return server


def recorded(page):
    """Wait until the background has written the records."""
    for _ in range(100):
        if page.locator("#hours").count():
            return
        page.wait_for_timeout(200)
        page.reload()
    raise AssertionError(page.inner_text("main"))


@pytest.mark.parametrize("path", PAGES.values(), ids=PAGES)
def test_a_page_is_accessible_and_clean(checked_in_every_look, site, path):
    def ready(page):
        if path == PAGES["requests"]:
            recorded(page)
            page.locator("#hours .uplot canvas").wait_for()
        page.problems.forget("400")

    checked_in_every_look(site, path, ready)


def test_every_control_is_used(open_page, checked, site, tmp_path):
    page = open_page(site, PAGES["first"])
    recorded(page)
    page.get_by_label("size", exact=True).fill("5")
    page.locator("input[name='x.nodes']").fill("2")
    slider = page.get_by_label("Probability that the job ends in time")
    slider.focus()
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    assert page.locator("output[for=quantile]").inner_text() == "0.99"
    page.get_by_label("Margin in percent").fill("10")
    page.get_by_label("Margin in seconds").fill("30")
    page.get_by_label("Nodes of a job").select_option("nodes")
    page.get_by_label("Users' own request").select_option("asked")
    page.get_by_role("button", name="Show", exact=True).click()
    for part in ("quantile=0.99", "percent=10", "seconds=30", "nodes=nodes", "request=asked", "x.size=5"):
        assert part in page.url
    assert "their users" in page.inner_text("main")
    page.locator("#killed .uplot canvas").wait_for()
    with page.expect_download() as download:
        page.locator("#hours").get_by_role("link", name="CSV").click()
    assert Path(download.value.path()).read_text().startswith("probability to end in time,requested,used")
    page.get_by_text("In scripts: ask at each submission").click()
    checked(page)
    shown = page.locator("#time-title").inner_text().removeprefix("Request ")
    call = re.search(r'--time="\$\((.*)\)" job\.sh', page.locator("pre.copy").first.inner_text())[1]
    (tmp_path / "tailrace").write_text(f'#!/bin/sh\nexec {sys.executable} -m tailrace "$@"\n')
    (tmp_path / "tailrace").chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "PYTHONPATH": str(ROOT / "client")}
    done = subprocess.run(["sh", "-c", call], env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout.strip(), done.returncode) == (shown, 0), done.stderr


def test_the_page_can_be_used_without_scripts(open_page, site):
    page = open_page(site, PAGES["requests"], java_script_enabled=False)
    recorded(page)
    assert page.locator("#killed svg.plot path.curve").count() == 2
    page.get_by_role("button", name="Show", exact=True).click()
    assert "Request" in page.locator("#time-title").inner_text()
