"""The paths of the services published with Phys. Rev. Materials 4, 113603: each does what a campaign does."""

import pytest

from server.campaigns import driver
from server.campaigns.evaluations import worker
from tests.api_client import refused

pytestmark = pytest.mark.one_database

SEED = "/api/seed/"


def test_they_generate_augment_evaluate_and_say_what_was_learned(loop):
    api = loop.api
    refused(api.post(f"{SEED}generate/CuZr", {}), 400, "campaign", code="missing")
    loop.create()
    refused(api.post(f"{SEED}generate/Cu64Zr36", {}), 404, "composition")
    refused(api.post(f"{SEED}augment", {"cell": "Cu50Zr50-1-00"}), 404, "cell")
    proposed = api.ok(f"{SEED}generate/CuZr", {})
    assert (proposed["round"], proposed["state"], proposed["edited"]) == (1, "approved", False)
    assert [one["name"] for one in proposed["picks"]] == [f"Cu50Zr50-{n}-00" for n in (1, 2, 3, 4)]
    refused(api.post(f"{SEED}generate/CuZr", {}), 409, code="busy")
    loop.turn()
    found = api.ok(f"{SEED}etl")
    assert (found["campaign"], found["states"]["DONE"], found["observations"]) == ("glasses", 4, 48)
    assert found["learned"] == [one["cell"] for one in loop.runs()]

    copies = api.ok(f"{SEED}augment", {"campaign": "glasses", "cell": "Cu50Zr50-2-00"})
    assert copies["round"] == 2
    assert {(one["kind"], one["family"]) for one in copies["picks"]} == {("augment", "Cu50Zr50-2")}
    driver.drive_all()
    waiting = api.ok(f"{SEED}etl?campaign=glasses")["waiting"]
    assert set(waiting) == {one["name"] for one in copies["picks"]}

    asked = api.ok(f"{SEED}evaluate", {}, 201)
    assert (asked["kind"], asked["state"]) == ("cross_validation", "waiting")
    assert api.ok(f"{SEED}evaluate", {"cell": "Cu50Zr50-1-00"}, 201)["kind"] == "single_cell"
    while worker.work_once():
        pass
    assert api.ok("/api/v1/campaigns/glasses/evaluations/1/")["state"] == "done"


def test_a_new_cell_takes_the_place_of_what_is_proposed_and_a_campaign_is_named_where_there_are_two(loop):
    loop.api.ok("/api/v1/compositions/", {"name": "Cu64Zr36"}, 201)
    loop.create(compositions=["Cu50Zr50", "Cu64Zr36"])
    loop.create("others", paused=True)
    message = refused(loop.api.post(f"{SEED}generate/Cu64Zr36", {}), 400, "campaign")["message"]
    assert "glasses, others" in message
    driver.drive_all()
    (composition,) = {one["composition"] for one in loop.show()["proposal"]["picks"]}
    (other,) = {"Cu50Zr50", "Cu64Zr36"} - {composition}
    made = loop.api.ok(f"{SEED}generate/{other}", {"campaign": "glasses"})
    assert [(one["kind"], one["name"]) for one in made["picks"]] == [("explore", f"{other}-1-00")]
    assert (made["state"], made["edited"], made["picks"][0]["seed"] > 1) == ("approved", True, True)
    refused(loop.api.post(f"{SEED}generate/Cu64Zr36", {"campaign": "others"}), 409, code="wrong_state")
