"""Pages of services and of feeds in a real browser: accessible in each look, live, and tried."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.services.test_services_api import Container
from tests.serving import Server
from tests.tracking.served import metrics

pytestmark = [pytest.mark.slow, pytest.mark.one_database]

IMAGES = [f"registry.example.org/glass/runtime@sha256:{digit * 64}" for digit in "abc"]
PAGES = (
    "/services/", "/services/runtime-2026/", "/services/forces/", "/experiments/1/feeds/",
    "/experiments/1/feeds/?p.width=48&p.operator=FNO", f"/runs/{1:032x}/",
)  # fmt: skip


class Agent:
    """A model agent that reports what a test tells it, and whose address answers."""

    def __init__(self, site: Server, container: Container) -> None:
        made = site.manage("shell", "-c", "from server.accounts import users; users.create('root', 'admin')")
        assert made.returncode == 0, made.stderr
        status, cluster = site.post("/api/v1/clusters/", {"name": "serving"})
        assert status == 201, cluster
        self._site, self._headers = site, {"Authorization": f"Bearer {cluster['token']}"}
        self._address = f"http://127.0.0.1:{container.server_port}"

    def report(self, **states: Any) -> None:
        """Report services, by name: state, reason and restarts."""
        services = [
            {"name": name.replace("_", "-"), "generation": 1, "wanted": "running", "state": state, "reason": reason, "restarts": restarts}
            for name, (state, reason, restarts) in states.items()
        ]  # fmt: skip
        body = {
            "session": "one", "begins": True, "address": self._address, "secret": "hush", "version": "1", "images": IMAGES[:2],
            "services": services,
        }  # fmt: skip
        status, answer = self._site.post("/api/v1/agent/services/", body, **self._headers)
        assert status == 200, answer


@pytest.fixture(scope="module")
def container() -> Iterator[Container]:
    made = Container()
    yield made
    made.shutdown()
    made.server_close()


@pytest.fixture(scope="module")
def site(start_site: Callable[..., Server]) -> Server:
    """A server with an experiment that feeds a stream with a model."""
    server = start_site(service_networks="127.0.0.0/8")
    assert server.post("/api/v1/streams/", {"name": "losses", "target": {"name": "loss"}})[0] == 201
    assert server.post("/api/v1/models/", {"name": "by-width", "stream": "losses", "recipe": "runtime"})[0] == 201
    for number in range(1, 9):
        path = f"/api/v1/runs/{number:032x}/"
        params = {"width": str(16 * number)} | ({"operator": "FNO"} if number < 8 else {})
        run = {"experiment": "darcy flow", "name": f"width {16 * number}", "params": params}
        assert server.request("PUT", path, run)[0] == 201
        ended = {"kind": "status", "status": "FINISHED", "time_ms": 2_000_000_000_000}
        lines = {"writer": "w", "first": 0, "lines": [metrics(0, loss=1.5 * number), ended]}
        assert server.post(f"{path}lines/", lines)[0] == 200
    feed = {"stream": "losses", "params": {"width": "number", "operator": "category"}, "metric": "loss"}
    assert server.post("/api/v1/experiments/1/feeds/", feed)[0] == 201
    while server.get("/api/v1/experiments/1/feeds/losses/")[1]["runs"]["due"]:
        threading.Event().wait(0.05)
    return server


@pytest.fixture(scope="module")
def agent(site: Server, container: Container) -> Agent:
    """Three services: one is healthy, one has given wrong answers, one is not allowed."""
    made = Agent(site, container)
    sample = {"body": {"instances": [{"x": 8, "y": 8, "z": 16}]}, "expected": {"predictions": [2.0]}}
    for name, image in zip(("runtime-2026", "forces", "old"), IMAGES, strict=True):
        asked = {"name": name, "cluster": "serving", "image": image, "sample": sample, "memory_mb": 512}
        asked["description"] = "Run times of LAMMPS, as of March"
        assert site.post("/api/v1/services/", asked)[0] == 201
    made.report(
        runtime_2026=("healthy", "", 0),
        forces=("backing off", "its sample gave another answer: predictions[0] is 3.0, expected 2.0", 4),
        old=("refused", "the site does not allow this image", 0),
    )
    return made


@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_accessible_and_clean(checked_in_every_look, site, agent, path):
    checked_in_every_look(site, path)


def test_a_service_is_tried(open_page, checked, site, agent):
    page = open_page(site, "/services/runtime-2026/")
    page.get_by_role("button", name="Ask").click()
    page.get_by_role("heading", name="Its answer").wait_for()
    assert "2.0" in page.inner_text("pre.copy")
    checked(page)
    page.get_by_label("What it is asked, as JSON").fill("{")
    page.get_by_role("button", name="Ask").click()
    page.locator("#body-wrong").wait_for()
    page.problems.forget("400")
    checked(page)


def test_the_list_follows_the_agent(open_page, checked, site, agent):
    page = open_page(site, "/services/")
    page.locator("#services", has_text="backing off").wait_for()
    agent.report(forces=("healthy", "", 4))
    page.locator("tr", has_text="forces").locator(".good").wait_for()
    checked(page)
    page.goto("/services/forces/")
    page.get_by_role("button", name="Stop").click()
    page.locator("#service dd", has_text="stopped").wait_for()
    page.get_by_role("button", name="Run", exact=True).wait_for()
    checked(page)


def test_a_run_is_predicted_on_the_page(open_page, checked, site, agent):
    page = open_page(site, "/experiments/1/feeds/")
    page.get_by_label("width", exact=True).fill("48")
    page.get_by_label("operator", exact=True).fill("FNO")
    page.get_by_role("button", name="Predict").click()
    page.get_by_role("heading", name="Predictions").wait_for()
    assert "by-width" in page.inner_text("main")
    checked(page)
    page.get_by_label("width", exact=True).fill("wide")
    page.get_by_role("button", name="Predict").click()
    page.get_by_role("alert").wait_for()
    page.problems.forget("400")
    checked(page)
