"""Pages of campaigns in a real browser: accessible in each look, and live while the agent works."""

import hashlib
import json
import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from tailrace import Client
from tailrace.handles.campaign import CampaignNeedsAPerson

from tests.campaigns.loop import PROGRAMS, TYPES, cell_of
from tests.cell_examples import DEFINITION
from tests.serving import Server

pytestmark = [pytest.mark.slow, pytest.mark.one_database]

COMPOSITIONS = ["Zr49Cu49Al2", "Zr45Cu45Al10", "Cu50Zr50"]
PAGES = (
    "/campaigns/", "/campaigns/glasses/", "/campaigns/glasses/rounds/1/", "/campaigns/new/", "/compositions/", "/compositions/Cu50Zr50/",
)  # fmt: skip


class Agent:
    """An agent that makes up the cells of a campaign."""

    def __init__(self, site: Server) -> None:
        made = site.manage("shell", "-c", "from server.accounts import users; users.create('root', 'admin')")
        assert made.returncode == 0, made.stderr
        cluster = self._ok(site.post("/api/v1/clusters/", {"name": "alpha"}))
        self.site, self.headers = site, {"Authorization": f"Bearer {cluster['token']}"}
        self.epoch = self._post("register/", {
            "agent": str(uuid.uuid4()), "host": "login1", "root": "/scratch/agent", "version": "1", "launcher": "slurm", "slots": 8,
            "programs": list(PROGRAMS), "holdings": [],
        })["epoch"]  # fmt: skip

    def work(self) -> int:
        """Run what waits. Return how many steps that were."""
        body = {"epoch": self.epoch, "claim": str(uuid.uuid4()), "free": 8, "steps": []}
        work = self._post("sync/", body)["work"]
        for step in work:
            path, held = f"steps/{step['step']}", {"epoch": self.epoch, "fence": step["fence"]}
            self._post(f"{path}/permit/", held)
            content = json.dumps(cell_of(step["parameters"])).encode() if step["program"] == "bond-labels" else b""
            name = {"name": "cell.json", "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
            self._post(f"{path}/results/", held | {"state": "done", "files": [name] if content else []})
            if content:
                sent = f"/api/v1/agent/{path}/files/cell.json?fence={step['fence']}"
                self._ok(self.site.request("PUT", sent, content, self.headers))
        return len(work)

    def _post(self, path: str, body: Any) -> Any:
        return self._ok(self.site.post(f"/api/v1/agent/{path}", body, **self.headers))

    @staticmethod
    def _ok(answer: tuple[int, Any]) -> Any:
        assert answer[0] < 300, answer
        return answer[1]


def until_round(site: Server, number: int, agent: Agent) -> None:
    """Let the agent work until a round has begun."""
    ends = time.monotonic() + 60
    while round_of(site) < number:
        agent.work()
        assert time.monotonic() < ends, site.get("/api/v1/campaigns/glasses/runs/")
        time.sleep(0.1)


def round_of(site: Server) -> int:
    return int(site.get("/api/v1/campaigns/glasses/")[1]["round"])


@pytest.fixture(scope="module")
def site(start_site: Callable[..., Server]) -> Server:
    return start_site()


@pytest.fixture(scope="module")
def agent(site: Server) -> Agent:
    """An agent, and a campaign whose first two rounds it has run: the third one waits for a person."""
    made = Agent(site)
    estimator = {"class": "tree.HoeffdingTreeRegressor", "params": {"grace_period": 5, "leaf_prediction": "mean"}}
    for path, body in (
        ("descriptors", {"name": "soap", "content": DEFINITION}),
        ("streams", {"name": "bonds", "target": {"name": "-ICOHP", "unit": "eV"}, "segment": "bond", "descriptor": "soap"}),
        ("models", {"name": "tree", "stream": "bonds", "flavor": "regression", "estimator": estimator}),
        *(("compositions", {"name": name}) for name in COMPOSITIONS),
        ("campaigns", {
            "name": "glasses", "stream": "bonds", "models": ["tree"], "compositions": COMPOSITIONS,
            "targets": dict.fromkeys(TYPES, 0.05), "budget": {"calculations": 40, "node_hours": 5},
        }),
    ):  # fmt: skip
        status, answer = site.post(f"/api/v1/{path}/", body)
        assert status == 201, answer
    for number in (1, 2):
        until_round(site, number, made)
        assert site.post(f"/api/v1/campaigns/glasses/decisions/{number}/approve/", {"comment": "as proposed"})[0] == 200
    until_round(site, 3, made)
    return made


def test_pages_are_accessible_and_clean(checked_in_every_look, site, agent):
    for path in PAGES:
        checked_in_every_look(site, path)


def test_a_person_approves_and_sees_the_cells_come(open_page, checked, site, agent):
    page = open_page(site, "/campaigns/glasses/")
    page.get_by_role("heading", name="Round 3 waits for approval").wait_for()
    page.get_by_role("checkbox").first.uncheck()
    page.get_by_role("textbox", name="Comment or reason").fill("one is enough of these")
    page.get_by_role("button", name="Approve those that are marked").click()
    page.get_by_text("one is enough of these").first.wait_for()
    until_round(site, 4, agent)
    page.get_by_text("Round 4").first.wait_for()
    checked(page)


def test_the_client_sees_and_decides_the_same(site, agent):
    campaign = Client(f"http://127.0.0.1:{site.port}").campaign("glasses")
    number = campaign.proposal["round"]
    assert len(campaign.approve([1], comment="by the client")["picks"]) == 1
    until_round(site, number + 1, agent)
    assert campaign.decisions()[number - 1]["comment"] == "by the client"
    assert campaign.history()[-1]["calculations"] == 1
    assert [run["state"] for run in campaign.runs() if run["round"] == number] == ["DONE"]
    assert set(campaign.to_frame()["type"]) == set(TYPES)
    assert campaign.evaluate("coverage")["state"] == "waiting"
    assert campaign.pause("enough").state == "paused"
    with pytest.raises(CampaignNeedsAPerson, match="enough"):
        campaign.wait(5)
