"""Agents of several clusters on a real server with several processes, all at the same moment."""

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.calculations.agents import program
from tests.people import bearer, made_on
from tests.promises.neighbours import ask

pytestmark = pytest.mark.database

CLUSTERS, STEPS = 4, 24


def test_no_step_is_claimed_or_permitted_twice(serve):
    server = serve(workers=2, threads=8, auth="required")
    admin = bearer(made_on(server, root="admin")["root"][1])

    def call(path, body, headers=admin):
        status, answer = ask(server, "POST", f"/api/v1/{path}", body, headers)
        assert status in (200, 201), answer
        return answer

    agents = []
    for n in range(CLUSTERS):
        headers = bearer(call("clusters/", {"name": f"c{n}"})["token"])
        body = {"agent": str(n), "host": "h", "root": f"/{n}", "version": "1", "launcher": "bare", "slots": STEPS}
        epoch = call("agent/register/", {**body, "programs": [program()], "holdings": []}, headers)["epoch"]
        agents.append((headers, epoch))
    for n in range(STEPS):
        call("calculations/", {"name": f"number {n}", "program": "code", "parameters": {"steps": n + 1}})
    start = threading.Barrier(CLUSTERS)

    def work(agent):
        headers, epoch = agent
        start.wait()
        taken = []
        for _ in range(STEPS):
            claim = {"epoch": epoch, "claim": str(uuid.uuid4()), "free": 2}
            for one in call("agent/sync/", claim, headers)["work"]:
                permit = {"epoch": epoch, "fence": one["fence"]}
                assert call(f"agent/steps/{one['step']}/permit/", permit, headers) == {"permitted": True}
                taken.append((one["step"], one["fence"]))
        return taken

    with ThreadPoolExecutor(CLUSTERS) as pool:
        taken = [one for some in pool.map(work, agents) for one in some]
    assert len({step for step, _ in taken}) == len(taken) == STEPS
    assert {fence for _, fence in taken} == {1}
