"""The protocol over a network that loses, repeats and delays: no step runs twice at a time, and no result is lost.

Sequences are generated from a seed. Every call of an agent may be lost, answered into nothing, sent twice, or kept and sent much
later; agents are restarted, with and without what they had; people decide in between.
"""

import json
import os
import random
from collections import Counter

import pytest
from django.utils import timezone

from server.calculations import acting, sessions, states
from server.calculations.models import AgentSession, Calculation, Cluster, Step, Transition
from server.calculations.transitions import derived
from server.core.errors import Conflict
from tests.calculations.conftest import API

pytestmark = [pytest.mark.django_db, pytest.mark.database]

CALLS = 150


class Site:
    """A cluster as it is: what its agent has in its journal, and which jobs run, whatever the server believes."""

    def __init__(self, agent, chance, world):
        self.agent, self.chance, self.world = agent, chance, world
        self.journal = {}
        self.late = []

    def call(self, path, body):
        """Send a request over the bad network. Return its answer, or None where none comes back."""
        fate = self.chance.random()
        if fate < 0.1:
            return None
        if fate < 0.2:
            self.late.append((path, body))
            return None
        answer = self._deliver(path, body)
        if fate < 0.3:
            answer = self._deliver(path, body)
        return None if fate > 0.9 else answer

    def _deliver(self, path, body):
        response = self.agent.post(path, body)
        assert response.status_code in (200, 404, 409), response.content
        self.world.look(path, body, response)
        return response.json() if response.status_code == 200 else None

    def deliver_late(self):
        if self.late:
            self._deliver(*self.late.pop(self.chance.randrange(len(self.late))))

    def register(self, forgets):
        if forgets:
            self.journal.clear()
        holdings = [{"step": step, "fence": fence, "state": state} for (step, fence), state in self.journal.items()]
        answer = self.call("register/", self.agent.registration(holdings=holdings))
        if answer is not None:
            self.agent.epoch = answer["epoch"]

    def sync(self):
        free = self.chance.choice((0, 1, 3))
        reports = [
            {"step": step, "fence": fence, "state": state}
            for (step, fence), state in self.journal.items()
            if state in (states.QUEUED, states.RUNNING, states.SETTLING, states.CANCELLED)
        ]
        answer = self.call("sync/", self.agent.sync_body(free, steps=reports))
        if answer is None:
            return
        for work in answer["work"]:
            self.journal.setdefault((work["step"], work["fence"]), states.CLAIMED)
        for one in answer["cancel"]:
            key = one["step"], one["fence"]
            if self.chance.random() < 0.5:
                self.journal[key] = states.CANCELLED
        for one in answer["accepted"]:
            if one["state"] in ("superseded", "unknown", "given back", *states.RETRIED, states.DONE):
                self.journal.pop((one["step"], one["fence"]), None)

    def advance(self):
        """Take one step further, as far as the agent may."""
        if not self.journal:
            return
        key = self.chance.choice(list(self.journal))
        step, fence = key
        state = self.journal[key]
        if state == states.CLAIMED:
            answer = self.call(f"steps/{step}/permit/", {"epoch": self.agent.epoch, "fence": fence})
            if answer is not None and answer["permitted"]:
                self.journal[key] = states.QUEUED
        elif state in (states.QUEUED, states.RUNNING):
            self.journal[key] = states.RUNNING if state == states.QUEUED else states.SETTLING
        elif state == states.SETTLING:
            ends = self.chance.choice(("done", "done", "done", "failed", "unconverged"))
            body = self.agent.result_body({"fence": fence}, ends)
            body["values"] = {"who": {"value": f"{self.agent.root} {fence}"}} if ends == "done" else {}
            if self.call(f"steps/{step}/results/", body) is not None:
                del self.journal[key]


class World:
    """What must hold, whatever happens: seen from outside, not from the server's tables."""

    def __init__(self):
        self.first_results = {}
        self.may_run = {}
        self.decided = set()

    def look(self, path, body, response):
        """Note what a request that has reached the server comes to."""
        what, *rest = path.strip("/").split("/")
        if what == "sync":
            for one in body["steps"]:
                if one["state"] == states.CANCELLED:
                    self.may_run.get(one["step"], set()).discard(one["fence"])
            return
        if what != "steps":
            return
        uid, fence = rest[0], body["fence"]
        if rest[1] == "results":
            self.may_run.get(uid, set()).discard(fence)
            if response.status_code == 200 and body["state"] == "done":
                self.first_results.setdefault(uid, body["values"])
        elif response.status_code == 200:
            others = self.may_run.setdefault(uid, set()) - {fence}
            undecided = [other for other in others if (uid, other) not in self.decided]
            assert not undecided, f"attempts {fence} and {undecided} of step {uid} may run at once"
            self.may_run[uid].add(fence)

    def check(self):
        for step in Step.objects.select_related("result"):
            assert (step.state == states.DONE) == (step.result is not None)
            assert (step.uid in self.first_results) == (step.state == states.DONE), step.uid
            if step.result is not None:
                assert step.result.values == json.dumps(self.first_results[step.uid], separators=(",", ":"))
            self._check_log(step)
        for calculation in Calculation.objects.all():
            counts = Counter(calculation.steps.values_list("state", flat=True))
            lost = calculation.steps.filter(lost=True).exists()
            assert calculation.state == derived(calculation, counts, is_undecided=lost)

    def _check_log(self, step):
        state = None
        for one in Transition.objects.filter(step=step).order_by("pk"):
            if state is not None:
                assert one.before == state
                assert states.may(one.before, one.after, one.who), (one.before, one.after, one.who)
            state = one.after
        assert state == step.state


def silence(name):
    long_ago = timezone.now() - 2 * sessions.SILENT
    Cluster.objects.filter(name=name).update(seen_at=long_ago)
    AgentSession.objects.filter(cluster__name=name).update(seen_at=long_ago)
    sessions.watch_contact()


def meddle(chance, world, numbers):
    """What people do, at any time. They may be told that it can't be done."""
    number = chance.choice(numbers)
    what = chance.choice((acting.hold, acting.release, acting.retry, acting.retry, acting.cancel, None, None, None))
    try:
        if what is not None:
            what(number, "ada")
            return
        step = chance.choice(list(Step.objects.filter(calculation=number)))
        acting.decide(number, step.name, chance.choice(acting.DECISIONS), "mod")
        world.decided.add((step.uid, step.fence))
    except Conflict:
        pass


def sequence(seed, new_agent, submit, ada):
    chance, world = random.Random(seed), World()
    sites = [Site(new_agent(name), chance, world) for name in ("alpha", "beta")]
    steps = [
        {"name": "a"},
        {"name": "b", "parents": ["a"]},
        {"name": "c", "parents": ["a"]},
        {"name": "d", "parents": ["b", "c"]},
    ]
    numbers = [submit(steps=steps, again=True)["id"] for _ in range(2)]
    numbers += [submit(scan={"parameter": "voltage", "values": [1, 2, 3]}, again=True)["id"]]
    for _ in range(CALLS):
        site = chance.choice(sites)
        what = chance.random()
        if what < 0.35:
            site.sync()
        elif what < 0.8:
            site.advance()
        elif what < 0.86:
            site.deliver_late()
        elif what < 0.91:
            site.register(forgets=chance.random() < 0.3)
        elif what < 0.94:
            silence(chance.choice(("alpha", "beta")))
        else:
            meddle(chance, world, numbers)
    world.check()
    return sites, world


FIRST = 40 if os.environ.get("TAILRACE_TEST_ON") == "postgresql" else 0
"""Other sequences on each database."""

SEEDS = [*range(FIRST, FIRST + 5), *(pytest.param(FIRST + n, marks=pytest.mark.slow) for n in range(5, 20))]


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_is_lost_repeated_or_late(seed, new_agent, submit, ada):
    sites, world = sequence(seed, new_agent, submit, ada)
    # Once the network is good again and people decide what is theirs to decide, everything comes to an end.
    for site in sites:
        while site.late:
            site.deliver_late()
        site.chance = random.Random(seed)
        site.call = site._deliver
        site.register(forgets=False)
    for step in Step.objects.filter(state=states.HELD):
        if Step.objects.get(pk=step.pk).state == states.HELD:
            acting.release(step.calculation_id, "ada")
    for _ in range(300):
        for site in sites:
            site.sync()
            site.advance()
        for step in Step.objects.filter(lost=True):
            acting.decide(step.calculation_id, step.name, "failed", "mod")
        if not Step.objects.exclude(state__in=states.ENDED).exists():
            break
    world.check()
    left = list(Step.objects.exclude(state__in=states.ENDED).values_list("uid", "state", "fence", "lost"))
    assert left == [], [site.journal for site in sites]
    assert {one["state"] for one in ada.ok(API)["calculations"]} <= {"done", "failed", "unconverged", "cancelled"}
