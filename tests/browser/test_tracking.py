"""Pages of tracking in a real browser: accessible in each look, and live while a training runs."""

import hashlib
from collections.abc import Callable

import pytest

from tests.browser.conftest import LOOKS
from tests.serving import Server

pytestmark = [pytest.mark.slow, pytest.mark.one_database]

ONE, TWO = "a" * 32, "b" * 32
PATHS = (
    "/experiments/", "/experiments/1/", f"/runs/{ONE}/", f"/runs/compare/?run={ONE}&run={TWO}", f"/runs/{ONE}/files/log.txt?view=1",
    "/registry/", "/registry/fno/",
)  # fmt: skip


def lines(site: Server, uid: str, first: int, *sent: dict) -> None:
    body = {"writer": "w", "first": first, "lines": list(sent)}
    status, answer = site.post(f"/api/v1/runs/{uid}/lines/", body)
    assert status == 200 and not answer["refused"], answer


def metrics(first: int, count: int, factor: float) -> list[dict]:
    return [
        {"kind": "metrics", "step": step, "time_ms": 1_700_000_000_000 + 1000 * step, "values": {"loss": factor / (1 + step), "error": factor}}
        for step in range(first, first + count)
    ]  # fmt: skip


@pytest.fixture(scope="module")
def site(start_site: Callable[..., Server]) -> Server:
    """A server with two runs, a file and a registered model."""
    server = start_site()
    text = b"epoch 1: loss 0.5\n"
    sha256 = hashlib.sha256(text).hexdigest()
    for uid, name, factor in ((ONE, "narrow", 1.0), (TWO, "wide", 0.5)):
        assert (
            server.request(
                "PUT",
                f"/api/v1/runs/{uid}/",
                {"experiment": "darcy flow", "name": name, "started_ms": 1_700_000_000_000},
            )[0]
            == 201
        )
        params = {"kind": "params", "values": {"width": str(int(64 * factor)), "operator": "FNO"}}
        domain = {"kind": "domain", "domain": "neural_operator", "step": 1, "time_ms": 1, "values": {"modes": 12}}
        link = {"kind": "link", "to": "stream", "name": "runs", "at": 3}
        artifact = {"kind": "artifact", "path": "log.txt", "sha256": sha256, "size": len(text)}
        lines(server, uid, 0, params, domain, link, artifact, *metrics(0, 800, factor))
        sent = server.request(
            "PATCH",
            f"/api/v1/runs/{uid}/uploads/{sha256}/",
            text,
            {"Upload-Offset": "0", "Content-Type": "application/octet-stream"},
        )
        assert sent[0] in (200, 409), sent
    made = server.post("/api/2.0/mlflow/registered-models/create", {"name": "fno", "description": "Darcy flow"})
    assert made[0] == 200, made
    version = {"name": "fno", "source": f"runs:/{ONE}/model", "run_id": ONE}
    assert server.post("/api/2.0/mlflow/model-versions/create", version)[0] == 200
    alias = {"name": "fno", "alias": "live", "version": "1"}
    assert server.post("/api/2.0/mlflow/registered-models/alias", alias)[0] == 200
    return server


@pytest.mark.parametrize("look", LOOKS)
def test_the_pages_are_accessible_and_clean(open_page, checked, site, look):
    page = open_page(site, PATHS[0], look)
    checked(page)
    for path in PATHS[1:]:
        page.goto(path)
        checked(page)


def test_runs_are_marked_and_compared(open_page, checked, site):
    page = open_page(site, "/experiments/1/")
    for name in ("narrow", "wide"):
        page.get_by_label(f"Mark run {name}").check()
    page.get_by_role("button", name="Compare those that are marked").click()
    page.wait_for_selector("figure[data-chart] canvas")
    assert page.locator("svg.plot polyline").count() == 2
    page.get_by_label("over", exact=True).select_option("time")
    page.get_by_role("button", name="Show").click()
    page.wait_for_selector("figure[data-chart] canvas")
    assert "seconds since the run began" in page.inner_text("main")
    checked(page)


def test_the_page_of_a_run_follows_it(open_page, checked, site):
    page = open_page(site, f"/runs/{TWO}/")
    page.wait_for_selector("#metric-loss canvas")
    lines(site, TWO, 804, *metrics(800, 5, 0.5), {"kind": "params", "values": {"late": "yes"}})
    page.locator("#run", has_text="late").wait_for()
    page.locator("#metric-loss .sentence", has_text="805").wait_for()
    checked(page)
