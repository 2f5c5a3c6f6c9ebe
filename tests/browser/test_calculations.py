"""Pages of calculations, structures and clusters in a real browser: accessible in each look, and live while steps run."""

import uuid
from collections.abc import Callable
from typing import Any

import pytest

from tests.browser.canvas import painted
from tests.calculations.agents import ENERGY, declared, program
from tests.serving import Server

pytestmark = [pytest.mark.slow, pytest.mark.one_database]

WATER = "3\n\nO 0 0 0.12\nH 0 0.76 -0.48\nH 0 -0.76 -0.48\n"
LEFT = '3\nLattice="6 0 0 0 6 0 0 0 6"\nO 0 0 0.2\nH 0 0.86 -0.48\nH 0 -0.86 -0.48\n'
PAGES = (
    "/calculations/", "/calculations/1/", "/calculations/1/steps/1-0/log/", "/calculations/analyses/", "/calculations/new/", "/calculations/new/?program=code",
    "/clusters/", "/clusters/alpha/", "/clusters/logs/", "/structures/", "/structures/water/", "/account/notifications/",
)  # fmt: skip


class Cluster:
    """An agent that does what a test tells it."""

    def __init__(self, site: Server) -> None:
        made = site.manage("shell", "-c", "from server.accounts import users; users.create('root', 'admin')")
        assert made.returncode == 0, made.stderr
        status, cluster = site.post("/api/v1/clusters/", {"name": "alpha", "title": "The group's cluster"})
        assert status == 201, cluster
        self.site, self.headers = site, {"Authorization": f"Bearer {cluster['token']}"}
        self.epoch = self.post("register/", {
            "agent": str(uuid.uuid4()), "host": "login1", "root": "/scratch/agent", "version": "1", "launcher": "slurm", "slots": 4,
            "programs": [program()], "holdings": [],
        })["epoch"]  # fmt: skip

    def post(self, path: str, body: Any) -> Any:
        status, answer = self.site.post(f"/api/v1/agent/{path}", body, **self.headers)
        assert status == 200, answer
        return answer

    def claim(self) -> list[Any]:
        load = {"cpu": 0.5, "memory": 0.25, "disk_free": 1e12, "disk_total": 2e12, "jobs_running": 1, "jobs_waiting": 0}
        lines = [{"at": 1.0, "level": "WARNING", "text": "the disk is 91 % full"}]
        body = {
            "epoch": self.epoch,
            "claim": str(uuid.uuid4()),
            "free": 4,
            "steps": [],
            "load": load,
            "messages": lines,
        }
        work: list[Any] = self.post("sync/", body)["work"]
        return work

    def run(self, work: Any, state: str = "done") -> None:
        step = f"steps/{work['step']}"
        self.post(f"{step}/permit/", {"epoch": self.epoch, "fence": work["fence"]})
        log = self.site.request(
            "PUT", f"/api/v1/agent/{step}/log?fence={work['fence']}&offset=0", b"SCF converged\n", self.headers
        )
        assert log[0] == 200, log
        table = {"columns": {"atom": "", "force": "eV/A"}, "rows": [[1, 0.25], [2, -0.25]]}
        body = {
            "epoch": self.epoch,
            "fence": work["fence"],
            "state": state,
            "values": ENERGY,
            "tables": {"forces": table},
            "analyses": [{"name": "thermo", "state": "done", "values": ENERGY, "report": "A line through the points."}],
            "files": [declared("structure.xyz", LEFT.encode())] if work["structure"] else [],
        }
        self.post(f"{step}/results/", body)
        for file in body["files"]:
            path = f"/api/v1/agent/{step}/files/{file['name']}?fence={work['fence']}"
            sent = self.site.request("PUT", path, LEFT.encode(), {**self.headers, "X-Content-SHA256": file["sha256"]})
            assert sent[0] == 200, sent


@pytest.fixture(scope="module")
def site(start_site: Callable[..., Server]) -> Server:
    return start_site()


@pytest.fixture(scope="module")
def cluster(site: Server) -> Cluster:
    """A cluster whose agent has run a scan of three steps for a structure."""
    made = Cluster(site)
    assert site.post("/api/v1/structures/", {"name": "water", "content": WATER})[0] == 201
    scan = {"parameter": "voltage", "values": [0, 1, 2], "chained": True}
    asked = {"name": "A scan", "program": "code", "structure": "water", "scan": scan}
    assert site.post("/api/v1/calculations/", asked)[0] == 201
    while work := made.claim():
        for one in work:
            made.run(one)
    return made


def test_pages_are_accessible_and_clean(checked_in_every_look, site, cluster):
    for path in PAGES:
        checked_in_every_look(site, path)


def test_a_page_is_live_while_steps_run(open_page, checked, site, cluster):
    asked = {"name": "Live", "program": "code", "parameters": {"voltage": 5}}
    number = site.post("/api/v1/calculations/", asked)[1]["id"]
    page = open_page(site, f"/calculations/{number}/")
    page.get_by_text("0 of 1 done").wait_for()
    [work] = cluster.claim()
    cluster.run(work)
    page.get_by_text("1 of 1 done").wait_for()
    checked(page)


def test_a_calculation_is_asked_for_in_the_browser(open_page, checked, site, cluster):
    page = open_page(site, "/calculations/new/?program=code")
    page.get_by_label("Name").fill("From a browser")
    page.get_by_label("voltage").fill("3.5")
    page.get_by_role("button", name="Submit").click()
    page.get_by_role("heading", name="From a browser").wait_for()
    page.get_by_role("button", name="Cancel").click()
    page.get_by_text("cancelled").first.wait_for()
    checked(page)


def test_structures_turn_in_3d_side_by_side(open_page, checked, site, cluster):
    page = open_page(site, "/structures/water/")
    page.locator("[data-structure=water][data-ready]").wait_for()
    drawn = painted(page)
    assert drawn > 1000
    page.locator(".cell-scene").first.focus()
    for _ in range(4):
        page.keyboard.press("-")
    assert painted(page) < drawn, "it is smaller now"
    page.keyboard.press("0")
    box = page.locator(".cell-scene").first.bounding_box()
    places = page.evaluate("() => document.querySelectorAll('.structures-beside [data-structure]').length")
    assert places == 1, "the last step of the only calculation of it"
    for x in (0.3, 0.4, 0.5, 0.6, 0.7):
        for y in (0.3, 0.4, 0.5, 0.6, 0.7):
            page.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"])
    page.locator("[data-structure=water] [data-state]").filter(has_text="0.968 Å from").wait_for()
    page.get_by_role("button", name="Turn A scan").click()
    page.locator(".structures-beside [data-ready]").wait_for()
    assert page.get_by_role("application").count() == 2
    checked(page)
    page.emulate_media(color_scheme="dark")
    assert painted(page) > 1000


def test_structures_are_pictures_without_scripts(open_page, site, cluster):
    page = open_page(site, "/structures/water/", java_script_enabled=False)
    assert page.locator("svg.structure").count() == 2
    assert page.locator("svg.structure").last.is_visible()
    assert not page.get_by_role("button", name="Turn A scan").is_visible()
