"""The agents' protocol: a step runs once, whatever is repeated, lost or late."""

import re
from datetime import timedelta

import pytest
from django.utils import timezone

from server.calculations import sessions, syncing
from server.calculations import work as work_of_agents
from server.calculations.models import AgentSession, Attempt, Cluster, Leftover
from tests.api_client import refused
from tests.calculations.agents import Agent, declared, program
from tests.calculations.conftest import API

pytestmark = [pytest.mark.django_db, pytest.mark.database]


def be_silent(cluster: str = "alpha") -> None:
    long_ago = timezone.now() - 2 * sessions.SILENT
    Cluster.objects.filter(name=cluster).update(seen_at=long_ago)
    AgentSession.objects.filter(cluster__name=cluster).update(seen_at=long_ago)


def states_of(calculation):
    return [step["state"] for step in calculation["chain"]]


def test_a_step_goes_all_the_way(agent, submit, shown):
    made = submit(parameters={"voltage": 2})
    (work,) = agent.claim()
    assert work["parameters"] == {"voltage": 2, "method": "fast"}
    assert (work["fence"], work["attempt"], work["name"], work["program"]) == (1, 1, "main", "code")
    assert shown(made)["state"] == "running"
    assert agent.run(work, job="77", host="node3", kept=[declared("density.bin", b"x")])["first"]
    done = shown(made)
    assert (done["state"], states_of(done), done["done"]) == ("done", ["done"], 1)
    result = done["chain"][0]["result"]
    assert result["values"] == {"energy": {"value": -1.5, "unit": "eV"}}
    assert [one["after"] for one in done["transitions"]] == [
        "ready", "submitted", "claimed", "permitted", "queued", "running", "settling", "done",
    ]  # fmt: skip
    assert {one["who"] for one in done["transitions"]} == {"person", "agent"}


def test_a_repeated_claim_gets_the_same_work_and_another_one_other_work(agent, submit):
    for _ in range(3):
        submit()
    body = agent.sync_body(2)
    first, again = (agent.ok("sync/", body)["work"] for _ in range(2))
    assert len(first) == 2
    assert first == again
    others = agent.claim(5)
    assert len(others) == 1
    assert others[0]["step"] not in {one["step"] for one in first}


def test_work_whose_answer_was_lost_is_told_again(agent, submit):
    submit()
    (work,) = agent.claim()
    assert agent.sync(free=3)["work"] == []
    Attempt.objects.update(claimed_at=timezone.now() - timedelta(minutes=5))
    assert agent.sync()["work"] == [work]
    agent.permit(work)
    assert agent.sync()["work"] == []


def test_permission_is_given_again_and_refused_to_an_old_fence(agent, submit):
    submit()
    (work,) = agent.claim()
    assert agent.permit(work) == agent.permit(work) == {"permitted": True}
    old = {"epoch": agent.epoch, "fence": 2}
    refused(agent.post(f"steps/{work['step']}/permit/", old), 404, "step")


def test_a_newer_session_fences_the_older_one(agent, submit):
    submit()
    (work,) = agent.claim()
    old = agent.epoch
    agent.register(holdings=[{"step": work["step"], "fence": 1, "state": "claimed"}])
    assert agent.epoch == old + 1
    refused(agent.post("sync/", {"epoch": old, "claim": None, "free": 0}), 409, "epoch", "superseded")
    refused(agent.post(f"steps/{work['step']}/permit/", {"epoch": old, "fence": 1}), 409, "epoch", "superseded")
    agent.permit(work)


def test_what_was_claimed_and_never_permitted_is_free_after_the_next_registration(agent, submit, shown):
    made = submit()
    (work,) = agent.claim()
    agent.register()
    assert states_of(shown(made)) == ["ready"]
    refused(agent.post(f"steps/{work['step']}/permit/", {"epoch": agent.epoch, "fence": 1}), 409, code="superseded")
    (again,) = agent.claim()
    assert (again["step"], again["fence"]) == (work["step"], 2)
    assert agent.report(work, "queued")["accepted"] == [{"step": work["step"], "fence": 1, "state": "given back"}]


def test_from_permitted_on_only_a_person_starts_a_step_again(agent, submit, shown, ada, moderator):
    made = submit()
    (work,) = agent.claim()
    agent.permit(work)
    path = f"{API}{made['id']}/steps/main/undecided/"
    refused(moderator.post(path, {"decision": "run_again"}), 409, code="wrong_state")
    agent.register()
    be_silent()
    sessions.watch_contact()
    found = shown(made)
    assert (found["state"], states_of(found), found["chain"][0]["contact"]) == ("undecided", ["permitted"], "lost")
    agent.register()
    assert agent.claim() == []
    refused(ada.post(path, {"decision": "run_again"}), 403)
    moderator.ok(path, {"decision": "run_again", "reason": "the node burned down"})
    assert agent.sync()["cancel"] == [{"step": work["step"], "fence": 1}]
    (again,) = agent.claim()
    assert (again["step"], again["fence"], again["attempt"]) == (work["step"], 2, 2)


def test_a_lost_step_that_turns_up_goes_on(agent, submit, shown):
    made = submit()
    (work,) = agent.claim()
    agent.permit(work)
    agent.register()
    assert shown(made)["state"] == "undecided"
    agent.report(work, "running")
    found = shown(made)
    assert (found["state"], found["chain"][0]["contact"]) == ("running", "ok")


def test_silence_frees_what_was_claimed_alone_and_is_announced_once(agent, submit, shown):
    first, second = submit(), submit()
    works = agent.claim(2)
    agent.permit(works[0])
    be_silent()
    assert sessions.watch_contact() == {"silent": 1, "freed": 1}
    assert sessions.watch_contact() == {}
    assert states_of(shown(first)) == ["permitted"]
    assert shown(first)["chain"][0]["contact"] == "silent"
    assert states_of(shown(second)) == ["ready"]
    agent.sync()
    assert not Cluster.objects.get(name="alpha").silent


def test_another_cluster_takes_what_a_silent_one_claimed_but_not_what_it_was_permitted(new_agent, submit):
    alpha, beta = new_agent("alpha"), new_agent("beta")
    submit(), submit()
    works = alpha.claim(2)
    alpha.permit(works[0])
    be_silent("alpha")
    sessions.watch_contact()
    assert [one["step"] for one in beta.claim(5)] == [works[1]["step"]]
    refused(alpha.post(f"steps/{works[1]['step']}/permit/", {"epoch": alpha.epoch, "fence": 1}), 409, code="superseded")


def test_a_copied_root_is_refused_while_the_other_agent_is_in_contact(agent, api):
    copy = Agent(api, agent.headers["Authorization"].removeprefix("Bearer "), root="/scratch/copy")
    copy.agent = agent.agent
    refused(copy.post("register/", copy.registration()), 409, "root", "copied_root")
    assert agent.sync()["state"] == "enabled"
    be_silent()
    copy.register()


def test_reports_are_taken_in_order_and_repeating_them_changes_nothing(agent, submit, shown):
    made = submit()
    (work,) = agent.claim()
    name = {"step": work["step"], "fence": 1}
    assert agent.report(work, "running")["accepted"] == [{**name, "state": "claimed"}]  # not permitted yet
    agent.permit(work)
    reports = [{**name, "state": state} for state in ("queued", "running", "settling")]
    assert [one["state"] for one in agent.sync(steps=reports)["accepted"]] == ["queued", "running", "settling"]
    before = shown(made)["transitions"]
    assert [one["state"] for one in agent.sync(steps=reports)["accepted"]] == ["settling"] * 3
    assert shown(made)["transitions"] == before


def test_results_are_taken_once_and_repeating_them_answers_the_same(agent, submit, shown):
    made = submit()
    (work,) = agent.claim()
    refused(agent.post(f"steps/{work['step']}/results/", agent.result_body(work)), 409, code="not_permitted")
    agent.permit(work)
    first, again = agent.results(work), agent.results(work)
    assert first == again == {"accepted": True, "first": True, "state": "done", "missing": []}
    assert agent.results(work, values={"energy": {"value": 7}}) == first
    assert shown(made)["chain"][0]["result"]["values"]["energy"]["value"] == -1.5


def test_a_late_valid_result_of_an_old_fence_counts_and_stops_the_newer_attempt(agent, submit, shown, moderator):
    made = submit()
    (old,) = agent.claim()
    agent.permit(old)
    agent.register()
    moderator.ok(f"{API}{made['id']}/steps/main/undecided/", {"decision": "run_again"})
    (new,) = agent.claim()
    agent.permit(new)
    assert agent.results(old)["first"]
    assert shown(made)["state"] == "done"
    assert agent.sync()["cancel"] == [{"step": new["step"], "fence": 2}]
    refused(agent.post(f"steps/{new['step']}/results/", agent.result_body(new)), 409, code="superseded")
    agent.report(new, "cancelled")
    assert agent.sync()["cancel"] == []
    assert shown(made)["state"] == "done"


def test_a_failed_result_that_is_followed_by_a_valid_one_counts(agent, submit, shown):
    made = submit()
    (work,) = agent.claim()
    agent.permit(work)
    assert not agent.results(work, "failed", reason="killed")["first"]
    assert shown(made)["state"] == "failed"
    assert agent.results(work)["first"]
    assert shown(made)["state"] == "done"


def test_a_handler_starts_the_next_attempt_and_gives_up_after_some(agent, submit, shown):
    made = submit(parameters={"steps": 10})
    for number in range(1, 6):
        (work,) = agent.claim()
        assert work["attempt"] == number
        next_one = {
            "name": "more-steps",
            "reason": "not converged",
            "corrections": {"steps": 10 * 2**number},
            "resources": {},
        }
        agent.permit(work)
        answer = agent.results(work, "unconverged", next=next_one)
        assert answer == agent.results(work, "unconverged", next=next_one)
        assert answer.get("next_fence") == (number + 1 if number < 5 else None)
    found = shown(made)
    assert found["state"] == "unconverged"
    assert found["chain"][0]["corrections"] == {"steps": 160}
    assert [one["correction"] and one["correction"]["name"] for one in found["chain"][0]["attempts"]] == [
        *["more-steps"] * 4, None,
    ]  # fmt: skip


def test_an_unconverged_step_is_no_result_for_its_children(agent, submit, shown):
    made = submit(steps=[{"name": "a"}, {"name": "b", "parents": ["a"]}, {"name": "c", "parents": ["b"]}])
    (work,) = agent.claim(5)
    agent.run(work, "unconverged")
    found = shown(made)
    assert states_of(found) == ["unconverged", "blocked", "blocked"]
    assert found["state"] == "unconverged"
    assert agent.claim(5) == []
    assert agent.results(work)["first"]  # it converged after all
    assert states_of(shown(made)) == ["done", "ready", "waiting"]


def test_children_get_what_their_parents_gave(agent, submit):
    submit(steps=[{"name": "a", "parameters": {"voltage": 1}}, {"name": "b", "parents": ["a"]}])
    (work,) = agent.claim(5)
    small = {"columns": {"E": "eV"}, "rows": [[-1.5], [None]]}
    large = {"columns": {"text": ""}, "rows": [["x" * 9_000]] * 20}
    agent.run(work, kept=[declared("density.bin", b"x")], files=[declared("a.png", b"png")], report="Good.",
              tables={"large": large, "levels": small})  # fmt: skip
    (child,) = agent.claim(5)
    (parent,) = child["parents"]
    assert (parent["name"], parent["step"], parent["fence"]) == ("a", work["step"], 1)
    assert parent["parameters"]["voltage"] == 1
    assert parent["results"]["values"]["energy"] == {"value": -1.5, "unit": "eV"}
    assert parent["results"]["kept"] == [declared("density.bin", b"x")]
    assert parent["results"]["files"] == [declared("a.png", b"png")]
    assert (parent["results"]["tables"], parent["results"]["tables_left_out"]) == ({"levels": small}, ["large"])
    assert parent["results"]["report"] == "Good."


def test_values_of_parents_that_are_too_large_together_are_left_out(agent, submit, monkeypatch):
    submit(steps=[{"name": "a"}, {"name": "b"}, {"name": "c", "parents": ["a", "b"]}])
    for work in agent.claim(2):
        agent.run(work, report="Good.")
    monkeypatch.setattr(work_of_agents, "MOST_VALUES", 60)
    (child,) = agent.claim(1)
    told = [one["results"] for one in child["parents"]]
    assert [(bool(one["values"]), one["report"], one["values_left_out"]) for one in told] == [
        (True, "Good.", False), (False, "", True),
    ]  # fmt: skip


def test_a_chain_stays_on_the_cluster_of_its_first_step(new_agent, submit):
    alpha, beta = new_agent("alpha"), new_agent("beta")
    submit(steps=[{"name": "a"}, {"name": "b", "parents": ["a"]}])
    (work,) = alpha.claim(5)
    assert beta.claim(5) == []
    alpha.run(work)
    assert beta.claim(5) == []
    assert len(alpha.claim(5)) == 1


def test_priority_comes_before_age(agent, submit, moderator, people):
    old = submit(name="old")
    urgent = submit(people.of("moderator"), name="urgent", priority=90)
    last = submit(name="new")
    assert moderator.patch(f"{API}{last['id']}/", {"priority": 70}).status_code == 200
    assert [one["calculation"] for one in agent.claim(3)] == [str(n["id"]) for n in (urgent, last, old)]


def test_an_agent_gets_only_programs_that_it_offers(new_agent, submit):
    alpha, beta = new_agent("alpha", program("code")), new_agent("beta", program("other"))
    submit()
    assert beta.claim(5) == []
    assert len(alpha.claim(5)) == 1


def test_limits_of_a_cluster_and_of_each_of_its_users(new_agent, submit, admin, people):
    agent = new_agent("alpha", limits={"steps": 3, "user_steps": 2})
    for _ in range(3):
        submit()
    eve = people.of("researcher", "eve")
    for _ in range(2):
        submit(eve)
    works = agent.claim(10)
    assert len(works) == 3
    assert agent.claim(10) == []
    for work in works:
        agent.run(work)
    assert len(agent.claim(10)) == 2


def test_in_maintenance_what_runs_goes_on_and_nothing_new_begins(agent, submit, admin, shown):
    first = submit()
    submit()
    (work,) = agent.claim(1)
    assert admin.patch("/api/v1/clusters/alpha/", {"state": "maintenance"}).status_code == 200
    answer = agent.sync(free=5)
    assert (answer["state"], answer["work"]) == ("maintenance", [])
    agent.run(work)
    assert shown(first)["state"] == "done"
    admin.patch("/api/v1/clusters/alpha/", {"state": "disabled"})
    refused(agent.post("sync/", agent.sync_body()), 409, code="disabled")


def test_a_program_that_can_not_be_offered_does_not_keep_the_others_out(agent):
    wild = program("wild", schema={"type": "object", "$ref": "http://169.254.169.254/"})
    slow = program("slow", schema={"type": "object", "properties": {"a": {"type": "string", "pattern": "(a+)+$"}}})
    answer = agent.register(program(), wild, slow, program("..", schema={}))
    assert [one["name"] for one in answer["refused"]] == ["wild", "slow", ".."]
    assert "$ref" in answer["refused"][0]["reason"]
    assert "pattern" in answer["refused"][1]["reason"]


def test_analyses_that_require_each_other_in_a_circle_are_refused(agent):
    requires = {"a": ["d"], "b": ["a", "c"], "c": ["b"], "d": []}
    round_trip = program("round", analyses=[{"name": name, "requires": some} for name, some in requires.items()])
    itself = program("itself", analyses=[{"name": "a", "requires": ["a"]}])
    reasons = [one["reason"] for one in agent.register(program(), round_trip, itself)["refused"]]
    assert re.search(
        r"of program round require .* circle: (b requires c requires b|c requires b requires c);", reasons[0]
    )
    assert "circle: a requires a;" in reasons[1]


def test_folders_are_cleaned_after_the_retention_when_nobody_needs_them(agent, submit, admin):
    submit(steps=[{"name": "a"}, {"name": "b", "parents": ["a"]}])
    (work,) = agent.claim(5)
    agent.run(work, files=[declared("a.png", b"png")])
    long_ago = timezone.now() - timedelta(days=30)
    Attempt.objects.update(ended_at=long_ago)
    assert agent.sync()["clean"] == []  # its picture is not here yet, and its child has not run
    agent.put(f"steps/{work['step']}/files/a.png?fence=1", b"png")
    assert agent.sync()["clean"] == []
    (child,) = agent.claim(5)
    agent.run(child)
    assert agent.sync()["clean"] == []  # its child has just ended
    admin.patch("/api/v1/clusters/alpha/", {"retention_days": 0})
    names = [{"step": one["step"], "fence": 1} for one in (work, child)]
    assert agent.sync()["clean"] == names
    agent.sync(steps=[{**name, "state": "cleaned"} for name in names])
    assert agent.sync()["clean"] == []


def test_folders_that_an_agent_does_not_clean_keep_no_others_from_it(agent, submit, monkeypatch):
    submit(scan={"parameter": "voltage", "values": list(range(7))})
    for work in agent.claim(7):
        agent.run(work)
    Attempt.objects.update(ended_at=timezone.now() - timedelta(days=30))
    cluster = Cluster.objects.get()
    Leftover.objects.bulk_create(Leftover(cluster=cluster, step=f"deleted{n}", fence=1) for n in range(3))
    monkeypatch.setattr(syncing, "MOST_CLEANED", 4)
    turns = [timezone.now() + timedelta(seconds=n * sessions.INTERVAL) for n in range(4)]
    named = [[one["step"] for one in syncing._cleanable(cluster, at)] for at in turns]
    assert max(map(len, named)) == 4
    assert len({step for some in named for step in some}) == 10
