"""What goes wrong in a campaign: each ends in a state that says what to do."""

from datetime import UTC, datetime, timedelta
from time import monotonic

import pytest

from server.calculations.models import Calculation, Cluster
from server.campaigns import driver, leases
from server.campaigns.models import Campaign, RunAttempt
from server.campaigns.policies import registry
from server.cells.models import Cell
from server.core.errors import Unavailable
from server.learning.write_path import learn_points
from server.streams.models import Stream
from tests.api_client import refused

pytestmark = pytest.mark.one_database


@pytest.fixture
def begun(loop):
    """A campaign of which the first round was approved and submitted."""
    loop.create()
    driver.drive_all()
    loop.ok("decisions/1/approve")
    driver.drive_all()
    return loop


def test_labels_that_fail_are_counted_by_reason_and_pause_the_campaign_above_the_threshold(begun):
    reasons = {
        1: "the potential has no Zr: it can't be melted",
        2: "the cell did not quench to a glass",
        3: "out of memory",
    }

    def outcome(step):
        seed = step["parameters"].get("seed")
        glasses = [one for one in begun.steps if one["program"] == "glass"]
        fails = step["program"] == "glass" and len(glasses) in reasons and seed
        return ("failed", {"reason": reasons[len(glasses)]}) if fails else ("done", {})

    begun.outcome = outcome
    begun.work()
    driver.drive_all()
    runs = begun.runs()
    assert [one["state"] for one in runs] == ["FAILED", "FAILED", "FAILED", "DONE"]
    for run, reason in zip(runs, reasons.values(), strict=False):
        assert (run["cause"], reason in run["reason"]) == ("glass failed", True)
    (first,) = begun.api.ok("/api/v1/campaigns/glasses/history/")["rounds"]
    assert first["causes"] == {"glass failed": 3}
    shown = begun.show()
    assert shown["state"] == "paused"
    assert "75%" in shown["reason"]
    begun.outcome = lambda step: ("done", {})
    assert begun.ok("runs/1/restart", {"stage": "explore"})["attempt"] == 2
    refused(begun.post("runs/4/restart", {"stage": "explore"}), 409, code="wrong_state")
    refused(begun.post("runs/2/restart", {"stage": "label"}), 409, code="wrong_state")
    begun.ok("resume")
    begun.turn()
    assert begun.runs()[0]["state"] == "DONE"
    assert begun.show()["proposal"]["action"] != "pause", "a person resumed it"


def test_a_policy_that_fails_pauses_the_campaign_with_its_reason(loop, monkeypatch):
    class Broken:
        def decide(self, situation):
            raise ValueError("no luck")

    loop.create()
    with monkeypatch.context() as broken:
        broken.setattr(registry, "find", lambda name: Broken())
        message = refused(loop.post("propose"), 409, code="policy_failed")["message"]
        driver.drive_all()
    shown = loop.show()
    assert (shown["state"], shown["reason"]) == ("paused", message)
    assert "policy families failed: ValueError: no luck" in message
    loop.ok("resume")
    driver.drive_all()
    assert loop.show()["proposal"]["round"] == 1


@pytest.mark.django_db(transaction=True)
def test_a_lease_is_renewed_during_the_work_and_left_to_who_has_taken_it_meanwhile(loop, monkeypatch):
    loop.create(paused=True)
    monkeypatch.setattr(leases, "RENEW_EVERY", 0.01)

    def until() -> datetime:
        return Campaign.objects.values_list("leased_until", flat=True).get()

    (pk,) = Campaign.objects.values_list("pk", flat=True)
    with leases.held(pk) as is_held:
        assert is_held
        with leases.held(pk) as second:
            assert not second
        first = until()
        deadline = monotonic() + 60
        while until() == first:
            assert monotonic() < deadline, "the lease is not renewed"
        theirs = datetime.now(UTC) + timedelta(seconds=60)
        Campaign.objects.update(leased_until=theirs)
    assert until() == theirs
    Campaign.objects.update(leased_until=datetime.now(UTC) - timedelta(seconds=1))
    with leases.held(pk) as is_held:
        assert is_held, "after a kill the lease has ended"
    assert until() is None


def test_failed_labels_below_the_threshold_never_stop_the_loop(begun):
    begun.outcome = lambda step: (
        ("failed", {"reason": "killed"}) if step["parameters"].get("cell") == "Cu50Zr50-2-00" else ("done", {})
    )
    begun.work()
    driver.drive_all()
    assert [one["state"] for one in begun.runs()] == ["DONE", "FAILED", "DONE", "DONE"]
    assert begun.show()["proposal"]["round"] == 2
    begun.outcome = lambda step: ("done", {})
    glasses = sum(one["program"] == "glass" for one in begun.steps)
    begun.ok("runs/2/restart", {"stage": "label"})
    begun.turn()
    assert begun.runs()[1]["state"] == "DONE"
    assert sum(one["program"] == "glass" for one in begun.steps) == glasses, "restarted from its labels"


def test_an_implausible_label_makes_the_cell_failed_and_is_never_learned(begun):
    def outcome(step):
        if step["parameters"].get("cell") != "Cu50Zr50-1-00":
            return "done", {}
        return "done", {"observations": [{"x": {"bond": "Zr-Cu", "distance": 2.7, "s0": 0.1, "s1": 1.0}, "y": 700.0}]}

    begun.outcome = outcome
    begun.work()
    driver.drive_all()
    run = begun.runs()[0]
    assert (run["state"], run["cause"]) == ("FAILED", "implausible label")
    cell = Cell.objects.get(name="Cu50Zr50-1-00")
    assert (cell.status, "700 eV" in cell.reason) == ("failed", True)
    assert Stream.objects.get().head == 36, "the other three cells"


def test_a_cell_that_is_not_what_was_asked_for_is_not_learned(loop):
    wrong = {
        "Cu50Zr50-1-00": ({"name": "another"}, "another cell"),
        "Cu50Zr50-2-00": ({"composition": "Cu64Zr36"}, "another composition"),
        "Cu50Zr50-3-00": ({"extra": 1}, "bad cell.json"),
        "Cu50Zr50-4-00": ({"observations": [{"x": {"bond": "Zr-Cu"}, "y": "strong"}]}, "refused"),
        "Cu50Zr50-5-00": ({"descriptor": "another"}, "refused"),
    }
    loop.create(approval="none", thresholds={"batch": 5})
    loop.outcome = lambda step: (
        "done",
        wrong[step["parameters"]["cell"]][0] if step["program"] == "bond-labels" else {},
    )
    driver.drive_all()
    loop.turn()
    assert [(one["cell"], one["cause"]) for one in loop.runs()] == [(cell, cause) for cell, (_, cause) in wrong.items()]
    assert Stream.objects.get().head == 0


def test_a_budget_of_hours_that_is_used_up_in_the_middle_ends_the_campaign(begun):
    begun.ok("pause", {"reason": "wait"})
    RunAttempt.objects.filter(number=1).update(hours=1.0)
    RunAttempt.objects.filter(run__number__gt=2).update(calculation=None, calculation_number=None)
    begun.api.patch("/api/v1/campaigns/glasses/", {"budget": {"node_hours": 2}})
    begun.ok("resume")
    begun.turn()
    states = [(one["state"], one["cause"]) for one in begun.runs()]
    assert states == [("DONE", ""), ("DONE", ""), ("FAILED", "budget"), ("FAILED", "budget")]
    assert "raise the budget" in begun.runs()[2]["reason"]


def test_a_target_that_can_not_be_reached_ends_with_a_reason(loop):
    thresholds = {"batch": 3, "gain": 1.0, "rounds_without_gain": 1, "coverage": 0.0}
    loop.create(targets={"Zr-Cu": 1e-6}, approval="none", budget={"calculations": 1000}, thresholds=thresholds)
    for _ in range(6):
        loop.turn()
        if loop.show()["state"] != "active":
            break
    shown = loop.show()
    assert shown["state"] == "stopped", shown
    assert "brought less than" in shown["reason"]


def test_two_campaigns_on_one_stream_never_label_a_cell_twice(loop):
    loop.create()
    loop.create("others")
    driver.drive_all()
    both = [[one["name"] for one in loop.show(name)["proposal"]["picks"]] for name in ("glasses", "others")]
    assert both[0] == both[1], "both were made before one was approved"
    loop.ok("decisions/1/approve")
    message = refused(loop.post("decisions/1/approve", name="others"), 409, code="superseded")["message"]
    assert "were calculated meanwhile" in message
    loop.ok("decisions/1/reject", {"reason": "the other campaign has them"}, name="others")
    loop.ok("resume", name="others")
    loop.turn()
    names = [one["name"] for one in loop.show("others")["proposal"]["picks"]]
    assert not {one["cell"] for one in loop.runs()} & set(names)


def test_a_retraction_withdraws_the_proposal_and_the_next_one_is_made_without_it(begun):
    begun.work()
    driver.drive_all()
    before = begun.show()
    begun.api.ok("/api/v1/streams/bonds/observations/1/retract/", {"reason": "wrong"})
    message = refused(begun.post("decisions/2/approve"), 409, code="superseded")["message"]
    assert "were retracted" in message
    driver.drive_all()
    after = begun.show()
    assert (before["proposal"]["round"], after["proposal"]["round"]) == (2, 3)
    assert begun.decisions()[1]["state"] == "superseded"
    assert sum(one["bonds"] for one in after["types"]) == sum(one["bonds"] for one in before["types"]) - 1


def test_a_deleted_model_and_a_deleted_stream_pause_the_campaign(begun):
    begun.work()
    driver.drive_all()
    begun.ok("decisions/2/reject", {"reason": "no"})
    assert begun.api.delete("/api/v1/models/tree/").status_code == 204
    refused(begun.post("resume"), 404, "model")
    begun.api.ok("/api/v1/models/", {"name": "m", "stream": "bonds", "recipe": "mean"}, 201)
    begun.api.patch("/api/v1/campaigns/glasses/", {"models": ["m"]})
    begun.ok("resume")
    assert begun.api.delete("/api/v1/models/m/").status_code == 204
    driver.drive_all()
    assert (begun.show()["state"], "model m, which decides, was deleted" in begun.show()["reason"]) == ("paused", True)
    loop = begun
    loop.api.ok("/api/v1/models/", {"name": "m", "stream": "bonds", "recipe": "mean"}, 201)
    loop.ok("resume")
    driver.drive_all()
    assert loop.show()["proposal"] is not None
    assert loop.api.delete("/api/v1/streams/bonds/?confirm=bonds").status_code == 204
    driver.drive_all()
    shown = loop.show()
    assert (shown["state"], shown["proposal"]) == ("paused", None)
    assert "stream bonds was deleted: create another campaign" in shown["reason"]


def test_a_composition_that_is_calculated_can_not_be_deleted_and_is_hidden_afterwards(begun):
    message = refused(begun.api.delete("/api/v1/compositions/Zr50Cu50/"), 409, code="in_use")["message"]
    assert "campaign glasses, which is active" in message
    begun.ok("stop")
    begun.turn()
    assert begun.api.delete("/api/v1/compositions/CuZr/").status_code == 204
    refused(begun.api.get("/api/v1/compositions/CuZr/"), 404)
    assert begun.runs()[0]["composition"] == "Cu50Zr50"
    refused(begun.post("resume"), 404, "compositions[0]")
    assert begun.api.ok("/api/v1/compositions/", {"name": "Cu50Zr50"}, 201)["counts"]["runs"] == 4


def test_a_silent_cluster_keeps_its_runs_and_says_what_to_do(begun):
    work = begun.agent.claim(1)
    begun.agent.permit(work[0])
    Cluster.objects.update(seen_at=datetime.now(UTC) - timedelta(days=1))
    driver.drive_all()
    run = begun.runs()[0]
    assert (run["state"], "has been silent since" in run["reason"]) == ("RUNNING", True)
    assert begun.show()["state"] == "active"


def test_stopping_cancels_what_runs_and_learns_what_comes_nevertheless(begun):
    work = begun.agent.claim(1)
    begun.agent.permit(work[0])
    begun.ok("stop", {"reason": "enough"})
    driver.drive_all()
    driver.drive_all()
    assert [one["state"] for one in begun.runs()].count("FAILED") == 3
    begun.agent.results(work[0])
    refused(begun.post("stop"), 409, code="wrong_state")


def test_people_who_approve_twice_late_or_after_another_are_told_so(loop, people):
    loop.create()
    driver.drive_all()
    other = people.of("moderator", "grace")
    path = "/api/v1/campaigns/glasses/decisions/1/"
    refused(people.of("researcher", "ada").post(f"{path}approve/", {}), 403)
    assert loop.ok("decisions/1/approve", {"picks": [1, 2], "comment": "two are enough"})["edited"]
    for again in (loop.api, other):
        message = refused(again.post(f"{path}approve/", {}), 409, code="decided")["message"]
        assert "approved by moderator at" in message
    refused(other.post(f"{path}reject/", {"reason": "too late"}), 409, code="decided")
    assert len(loop.runs()) == 2
    loop.turn()
    loop.api.patch("/api/v1/campaigns/glasses/", {"thresholds": {"batch": 2}})
    message = refused(other.post("/api/v1/campaigns/glasses/decisions/2/approve/", {}), 409, code="superseded")[
        "message"
    ]
    assert "settings were changed" in message
    trail = people.of("admin").ok("/api/v1/audit/?action=campaign.approve")["entries"]
    assert [one["target"] for one in trail] == ["glasses/1"]


def test_a_kill_at_any_point_of_ingesting_learns_the_cell_once(begun, monkeypatch):
    begun.work()

    def dies(*args, **kwargs):
        raise Unavailable("the process died")

    with monkeypatch.context() as before:
        before.setattr(learn_points, "learn", dies)
        driver.drive_all()
    assert (Stream.objects.get().head, {one["state"] for one in begun.runs()}) == (0, {"SCHEDULED"})
    with monkeypatch.context() as after:
        after.setattr(driver, "_end", dies)
        driver.drive_all()
    assert (Stream.objects.get().head, {one["state"] for one in begun.runs()}) == (12, {"SCHEDULED"})
    driver.drive_all()
    assert (Stream.objects.get().head, {one["state"] for one in begun.runs()}) == (48, {"DONE"})


def test_a_kill_between_submitting_and_noting_it_submits_nothing_twice(loop, monkeypatch):
    loop.create()
    driver.drive_all()
    loop.ok("decisions/1/approve")

    def dies(*args, **kwargs):
        raise Unavailable("the process died")

    with monkeypatch.context() as patch:
        patch.setattr(RunAttempt, "save", dies)
        driver.drive_all()
    assert Calculation.objects.count() == 1
    driver.drive_all()
    assert Calculation.objects.count() == 4
    assert len({one["calculation"] for one in loop.runs()}) == 4


def test_a_person_labels_a_cell_by_hand(begun):
    from tests.campaigns.loop import cell_of

    cell = cell_of({"cell": "Cu50Zr50-1-00", "composition": "Cu50Zr50"})
    assert begun.ok("labels", cell)["state"] == "DONE"
    refused(begun.post("labels", cell), 409, code="name_taken")
    refused(begun.post("labels", cell | {"name": "other"}), 404, "name")
    begun.turn()
    assert [(one["state"], one["first"]) for one in begun.runs()] == [("DONE", n) for n in (1, 13, 25, 37)]
    assert Calculation.objects.filter(state="cancelled").count() == 1
