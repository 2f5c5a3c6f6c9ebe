"""What people do with calculations: approve, hold, cancel, run again, and who may."""

import pytest

from server.accounts.models import AuditEntry
from tests.api_client import refused
from tests.calculations.conftest import API
from tests.calculations.test_protocol import states_of

pytestmark = pytest.mark.django_db


def act(by, made, what, reason=""):
    return by.ok(f"{API}{made['id']}/{what}/", {"reason": reason})


def test_a_program_that_requires_approval(agent, submit, ada, moderator, shown):
    assert moderator.patch("/api/v1/programs/code/", {"requires_approval": True}).status_code == 200
    made = submit()
    assert (made["state"], states_of(made)) == ("needs approval", ["held"])
    assert made["needs_approval"] == "program code requires approval"
    assert agent.claim() == []
    refused(ada.post(f"{API}{made['id']}/release/", {}), 409, code="approval")
    refused(ada.post(f"{API}{made['id']}/approve/", {}), 403)
    approved = act(moderator, made, "approve", "go on")
    assert (approved["state"], approved["approved_by"]) == ("waiting", "moderator")
    refused(moderator.post(f"{API}{made['id']}/approve/", {}), 409, code="wrong_state")
    assert len(agent.claim()) == 1
    assert AuditEntry.objects.filter(action="calculation.approve", username="moderator").count() == 1


def test_a_cost_limit_and_a_rejection(agent, submit, moderator):
    moderator.patch("/api/v1/programs/code/", {"cost_limit": 10})
    assert submit(resources={"processes": 10, "seconds": 3600})["state"] == "waiting"
    made = submit(resources={"processes": 11, "seconds": 3600})
    assert made["needs_approval"] == "it asks for 11 process hours, and program code requires approval above 10"
    rejected = act(moderator, made, "reject", "too large")
    assert (rejected["state"], rejected["chain"][0]["reason"]) == ("cancelled", "too large")


def test_a_server_that_asks_for_approval_of_everything(agent, submit, settings):
    settings.TAILRACE = settings.TAILRACE.model_copy(update={"approval": "always"})
    assert submit()["state"] == "needs approval"


def test_hold_and_release(agent, submit, ada):
    made = submit(steps=[{"name": "a"}, {"name": "b"}, {"name": "c", "parents": ["a"]}])
    (work,) = agent.claim(1)
    held = act(ada, made, "hold", "wait")
    assert (states_of(held), held["state"]) == (["held"] * 3, "held")
    assert agent.post(f"steps/{work['step']}/permit/", {"epoch": agent.epoch, "fence": 1}).status_code == 409
    assert agent.claim(5) == []
    released = act(ada, made, "release")
    assert states_of(released) == ["ready", "ready", "waiting"]
    assert submit(hold=True)["state"] == "held"


def test_cancel_what_waits_at_once_and_what_runs_by_its_agent(agent, submit, ada, shown):
    made = submit(steps=[{"name": "a"}, {"name": "b"}, {"name": "c", "parents": ["a"]}])
    (work,) = agent.claim(1)
    agent.permit(work)
    agent.report(work, "running")
    cancelled = act(ada, made, "cancel", "no longer needed")
    assert states_of(cancelled) == ["running", "cancelled", "cancelled"]
    assert cancelled["chain"][0]["cancel_wanted"]
    assert agent.sync()["cancel"] == agent.sync()["cancel"] == [{"step": work["step"], "fence": 1}]
    agent.report(work, "cancelled", reason="scancel")
    assert agent.sync()["cancel"] == []
    assert shown(made)["state"] == "cancelled"
    refused(ada.post(f"{API}{made['id']}/cancel/", {}), 409, code="wrong_state")


def test_a_step_that_finished_before_it_was_cancelled_is_done(agent, submit, ada, shown):
    made = submit()
    (work,) = agent.claim(1)
    agent.permit(work)
    act(ada, made, "cancel")
    agent.results(work)
    assert shown(made)["state"] == "done"


def test_run_again_what_failed_and_what_it_blocked(agent, submit, ada, shown):
    made = submit(steps=[{"name": "a"}, {"name": "b", "parents": ["a"]}, {"name": "c", "parents": ["b"]}])
    (work,) = agent.claim(5)
    agent.run(work, "failed", reason="no licence")
    assert (shown(made)["state"], states_of(shown(made))) == ("failed", ["failed", "blocked", "blocked"])
    again = act(ada, made, "retry")
    assert states_of(again) == ["ready", "waiting", "waiting"]
    assert agent.run_all() == 3
    found = shown(made)
    assert found["state"] == "done"
    assert [one["state"] for one in found["chain"][0]["attempts"]] == ["failed", "done"]
    refused(ada.post(f"{API}{made['id']}/retry/", {}), 409, code="wrong_state")


def test_what_was_held_back_is_held_back_again_when_its_parent_runs_again(agent, submit, ada, shown):
    made = submit(steps=[{"name": "a"}, {"name": "b", "parents": ["a"]}, {"name": "c", "parents": ["b"]}])
    (work,) = agent.claim(5)
    agent.permit(work)
    act(ada, made, "hold")
    agent.results(work, "failed")
    assert states_of(shown(made)) == ["failed", "blocked", "blocked"]
    assert states_of(act(ada, made, "retry")) == ["ready", "held", "held"]
    (again,) = agent.claim(5)
    agent.run(again)
    assert agent.claim(5) == []
    assert states_of(act(ada, made, "release")) == ["done", "ready", "waiting"]


def test_others_may_look_and_not_touch(agent, submit, people, moderator):
    made = submit()
    eve = people.of("researcher", "eve")
    assert eve.get(f"{API}{made['id']}/").status_code == 200
    for what in ("hold", "cancel"):
        refused(eve.post(f"{API}{made['id']}/{what}/", {}), 403)
    refused(eve.patch(f"{API}{made['id']}/", {"name": "mine"}), 403)
    act(moderator, made, "hold")


def test_a_priority_is_for_moderators(agent, submit, ada, moderator):
    refused(ada.post(API, {"name": "a", "program": "code", "priority": 51}), 403)
    made = submit()
    refused(ada.patch(f"{API}{made['id']}/", {"priority": 90}), 403)
    assert moderator.patch(f"{API}{made['id']}/", {"priority": 90}).json()["priority"] == 90


def test_lists_are_filtered_and_go_on_page_by_page(agent, submit, ada, people):
    for n in range(5):
        submit(name=f"number {n}")
    submit(people.of("researcher", "eve"), name="hers")
    first = ada.ok(f"{API}?limit=4")
    assert [one["name"] for one in first["calculations"]] == ["hers", "number 4", "number 3", "number 2"]
    rest = ada.ok(f"{API}?limit=4&before={first['next']}")
    assert [one["name"] for one in rest["calculations"]] == ["number 1", "number 0"]
    assert rest["next"] is None
    assert len(ada.ok(f"{API}?owner=eve")["calculations"]) == 1
    assert len(ada.ok(f"{API}?text=NUMBER")["calculations"]) == 5
    assert len(ada.ok(f"{API}?state=done")["calculations"]) == 0
    assert len(ada.ok(f"{API}?program=code&state=waiting")["calculations"]) == 6
    agent.claim(1)
    assert len(ada.ok(f"{API}?cluster=alpha")["calculations"]) == 1
    refused(ada.get(f"{API}?cluster=none"), 404, "cluster")
    refused(ada.get(f"{API}999/"), 404)
