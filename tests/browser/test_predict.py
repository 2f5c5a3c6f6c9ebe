"""The page that predicts, in a real browser, and the commands that it shows, run as they are copied."""

import json
import random
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.serving import ROOT, Server

pytestmark = [pytest.mark.slow, pytest.mark.one_database]

ODD = 'it\'s "<b>größe</b>" $HOME `x`'
PAGES = {
    "first": "/models/runtime/predict/",
    "curve": "/models/runtime/predict/?x.size=4&x.kind=1&also=linear&sweep=size&points=20",
    "far": "/models/runtime/predict/?x.size=400&x.kind=1",
    "wrong": "/models/runtime/predict/?x.size=abc",
    "odd": "/models/odd/predict/",
}


@pytest.fixture(scope="module")
def site(start_site: Callable[..., Server]) -> Iterator[Server]:
    """A server whose models have learned, one of them from names that a shell and a page must quote."""
    server = start_site()
    for name in ("runs", "odd"):
        target = {"name": "loop_time", "unit": "s"}
        assert server.post("/api/v1/streams/", {"name": name, "target": target})[0] == 201
    for name, stream, recipe in (("linear", "runs", "linear"), ("runtime", "runs", "runtime"), ("odd", "odd", "mean")):
        assert server.post("/api/v1/models/", {"name": name, "stream": stream, "recipe": recipe})[0] == 201
    rng = random.Random(1)
    for n in range(60):
        x = {"size": rng.uniform(1, 10), "kind": n % 3}
        assert server.post("/api/v1/streams/runs/observations/", {"x": x, "y": 50 + 30 * x["size"]})[0] == 201
    for n in range(10):
        x = {ODD: ODD, "plain": "cu-zr", "zero": "007", "on": n % 2 == 0, "1st": 1.5}
        assert server.post("/api/v1/streams/odd/observations/", {"x": x, "y": 1.0 * n})[0] == 201
    return server


@pytest.mark.parametrize("path", PAGES.values(), ids=PAGES)
def test_a_page_is_accessible_and_clean(checked_in_every_look, site, path):
    def ready(page):
        if path == PAGES["curve"]:
            page.locator(".uplot canvas").wait_for()
        page.problems.forget("400")

    checked_in_every_look(site, path, ready)


def test_every_control_is_used(open_page, checked, site):
    page = open_page(site, PAGES["first"])
    page.get_by_label("size", exact=True).fill("4.5")
    page.get_by_label("kind", exact=True).fill("2")
    page.get_by_label("linear").check()
    page.get_by_label("Probability of the interval").fill("0.8")
    page.get_by_label("Curve over").select_option("size")
    page.get_by_label("From", exact=True).fill("2")
    page.get_by_label("To", exact=True).fill("6")
    page.get_by_label("Points of the curve").fill("9")
    page.get_by_role("button", name="Predict").click()
    page.locator(".uplot canvas").wait_for()
    assert page.locator("section table tbody tr").count() == 2
    assert "80 % interval" in page.inner_text("main")
    for part in ("x.size=4.5", "sweep=size", "from=2", "to=6", "points=9", "level=0.8", "also=linear"):
        assert part in page.url
    before = page.inner_text("main table")
    page.reload()
    assert page.inner_text("main table") == before, "its state is in its address"
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV").click()
    assert Path(download.value.path()).read_text().count("\n") == 10
    page.get_by_text("Further features").click()
    page.get_by_label("One a line, as name=value").fill("extra=1")
    page.get_by_role("button", name="Predict").click()
    assert "extra" in page.locator(".message.error").inner_text()
    checked(page)
    page.get_by_role("link", name="Latest observation").click()
    assert page.url.endswith("/models/runtime/predict/")


@pytest.mark.parametrize("name", ["runtime", "odd"])
def test_what_is_copied_gives_the_same_prediction(open_page, site, name, tmp_path):
    page = open_page(site, f"/models/{name}/predict/", java_script_enabled=False)
    shown = float(page.locator("section table tbody tr").first.locator("td").nth(1).inner_text().replace(",", ""))
    curl, tailrace, python = page.locator("pre.copy").all_inner_texts()
    (tmp_path / "tailrace").write_text(f'#!/bin/sh\nexec {sys.executable} -m tailrace "$@"\n')
    (tmp_path / "tailrace").chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "PYTHONPATH": str(ROOT / "client"), "LC_ALL": "C.UTF-8"}

    def run(*command: str) -> str:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0 and "arning" not in done.stderr, (command, done.stderr)
        return done.stdout

    assert json.loads(run("bash", "-c", curl))["prediction"] == pytest.approx(shown, rel=1e-3)
    assert float(re.search(r"-?\d+(\.\d+)?", run("bash", "-c", tailrace))[0]) == pytest.approx(shown, rel=1e-3)
    assert float(re.search(r"-?\d+(\.\d+)?", run(sys.executable, "-c", python))[0]) == pytest.approx(shown, rel=1e-3)
