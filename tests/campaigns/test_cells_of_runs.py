"""Cells of a campaign's runs: learned in order, recorded if their labels fail, labeled where they are stored already."""

import pytest

from server.calculations.models import Calculation
from server.campaigns import driver
from server.cells.models import Cell
from tests.calculations.agents import declared
from tests.campaigns.test_loop import verified
from tests.cell_examples import STRUCTURE

pytestmark = pytest.mark.one_database

STRUCTURES = "/api/v1/structures/"


def begin(loop):
    driver.drive_all()
    loop.ok("decisions/1/approve")
    driver.drive_all()


def test_the_cells_of_a_round_are_learned_in_the_order_of_its_runs_whichever_ends_first(loop):
    loop.create()
    begin(loop)
    for step in loop.agent.claim(20):
        loop.run(step)
    first, *others = loop.agent.claim(20)
    assert first["parameters"]["cell"] == "Cu50Zr50-1-00"
    for step in reversed(others):
        loop.run(step)
    driver.drive_all()
    runs = loop.runs()
    assert [one["state"] for one in runs] == ["RUNNING"] * 4
    assert all("learned after that of run 1" in one["reason"] for one in runs[1:])
    loop.run(first)
    driver.drive_all()
    assert [(one["cell"][-4], one["state"], one["first"]) for one in loop.runs()] == [
        ("1", "DONE", 1), ("2", "DONE", 13), ("3", "DONE", 25), ("4", "DONE", 37),
    ]  # fmt: skip


def test_a_run_that_waits_for_a_person_holds_no_other_up(loop):
    loop.create()
    begin(loop)
    for step in loop.agent.claim(20):
        loop.run(step)
    first, *others = loop.agent.claim(20)
    for step in others:
        loop.run(step)
    number = loop.runs()[0]["calculation"]
    before = Calculation.objects.get(pk=number).state
    Calculation.objects.filter(pk=number).update(state="held")
    driver.drive_all()
    assert [one["state"] for one in loop.runs()] == ["RUNNING", "DONE", "DONE", "DONE"]
    Calculation.objects.filter(pk=number).update(state=before)
    loop.run(first)
    driver.drive_all()
    assert loop.runs()[0]["state"] == "DONE"


def test_a_cell_whose_labels_fail_is_recorded_with_its_structure_and_labeled_later(loop):
    loop.create(thresholds={"failed": 1.0})
    begin(loop)
    content = STRUCTURE.encode()
    for step in loop.agent.claim(20):
        loop.agent.run(step, files=[declared("structure.xyz", content)])
        url = f"steps/{step['step']}/files/structure.xyz?fence={step['fence']}"
        assert loop.agent.put(url, content).status_code == 200
    loop.outcome = lambda step: (
        ("failed", {"reason": "SCF not converged"}) if step["parameters"]["cell"] == "Cu50Zr50-2-00" else ("done", {})
    )
    loop.work()
    driver.drive_all()
    failed = loop.api.ok("/api/v1/streams/bonds/cells/Cu50Zr50-2-00/")
    assert (failed["status"], failed["structure"], failed["provenance"]["run"]) == ("failed", STRUCTURE, 2)
    assert "SCF not converged" in failed["reason"]
    assert loop.api.ok("/api/v1/compositions/CuZr/")["counts"]["failed"] == 1
    loop.outcome = lambda step: ("done", {})
    loop.ok("runs/2/restart", {"stage": "label"})
    loop.turn()
    assert Cell.objects.get(name="Cu50Zr50-2-00").status == Cell.LABELED
    assert loop.api.ok("/api/v1/compositions/CuZr/")["counts"]["failed"] == 0


def test_stored_cells_without_labels_are_proposed_first_and_costs_are_told_as_estimates(loop):
    content = '1\nLattice="9 0 0 0 9 0 0 0 9" Properties=species:S:1:pos:R:3 pbc="T T T"\nCu 0 0 0\n'
    for name in ("Cu50Zr50-7-00", "Cu64Zr36-1-00", "Cu50Zr50-loose"):
        loop.api.ok(STRUCTURES, {"name": name, "content": content, "format": "extxyz"}, 201)
    loop.create()
    driver.drive_all()
    proposal = loop.show()["proposal"]
    assert [(one["kind"], one["name"]) for one in proposal["picks"]] == [
        ("label", "Cu50Zr50-7-00"), *(("explore", f"Cu50Zr50-{n}-00") for n in (8, 9, 10)),
    ]  # fmt: skip
    assert "at a cost that is not known before the first result" in proposal["reason"]
    begin(loop)
    loop.work()
    (labels, *_) = [one for one in loop.steps if one["parameters"].get("cell") == "Cu50Zr50-7-00"]
    assert labels["structure"] == content
    driver.drive_all()
    assert Cell.objects.get(name="Cu50Zr50-7-00").family == "Cu50Zr50-7"
    second = loop.api.ok("/api/v1/campaigns/glasses/decisions/2/")
    assert "by 3 results)" in second["reason"]
    copies = [one for one in second["situation"]["candidates"] if one["kind"] == "augment"]
    assert copies and all(one["distance"] is not None for one in copies)
    assert verified().endswith("2 decisions, 0 differ\n")
