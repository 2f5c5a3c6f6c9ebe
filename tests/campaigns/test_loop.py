"""The loop: proposed, approved, calculated, learned, decided again, and every decision can be made again."""

from io import StringIO

import pytest
from django.core.management import call_command

from server.campaigns import driver
from server.campaigns.models import Decision
from server.cells.models import Cell
from server.streams.models import Stream

pytestmark = pytest.mark.database


def verified() -> str:
    said = StringIO()
    call_command("verify_campaign", "glasses", stdout=said)
    return said.getvalue()


def test_a_round_is_proposed_approved_calculated_and_learned_and_the_next_one_knows_it(loop):
    made = loop.create()
    assert (made["state"], made["round"], made["proposal"]) == ("active", 0, None)
    driver.drive_all()
    proposal = loop.show()["proposal"]
    assert (proposal["round"], proposal["action"], proposal["state"]) == (1, "compose", "proposed")
    assert [one["name"] for one in proposal["picks"]] == [f"Cu50Zr50-{n}-00" for n in (1, 2, 3, 4)]
    driver.drive_all()
    assert len(loop.decisions()) == 1, "it waits for a person"
    assert loop.runs() == []
    loop.ok("decisions/1/approve", {"comment": "go on"})
    assert [one["state"] for one in loop.runs()] == ["SCHEDULED"] * 4
    driver.drive_all()
    assert loop.work() == 8, "a glass and its labels, four times"
    assert [one["state"] for one in loop.runs()] == ["SCHEDULED"] * 4, "not done before its cell is learned"
    driver.drive_all()
    runs = loop.runs()
    assert [(one["state"], one["first"], one["last"]) for one in runs] == [
        ("DONE", first, first + 11) for first in (1, 13, 25, 37)
    ]
    shown = loop.show()
    assert shown["used"]["calculations"] == 4
    assert {(one["type"], one["families"], one["bonds"]) for one in shown["types"]} == {
        (kind, 4, 16) for kind in ("Zr-Cu", "Zr-Zr", "Cu-Cu")
    }
    cell = Cell.objects.get(name="Cu50Zr50-1-00")
    assert cell.family == "Cu50Zr50-1"
    (first,) = loop.api.ok("/api/v1/campaigns/glasses/history/")["rounds"]
    assert (first["calculations"], first["failed"], len(first["types"])) == (4, 0, 3)
    assert shown["proposal"]["round"] == 2
    (composition,) = loop.api.ok("/api/v1/compositions/")["compositions"]
    assert composition["counts"] == {
        "cells": 4, "deformations": 0, "labeled": 4, "labels": 48, "failed": 0, "runs": 4
    }  # fmt: skip
    assert "2 decisions, 0 differ" in verified()


def test_a_campaign_without_approval_goes_on_by_itself_until_its_budget_is_used_up(loop):
    loop.create(approval="none", budget={"calculations": 6})
    for _ in range(4):
        loop.turn()
    shown = loop.show()
    assert (shown["state"], shown["used"]["calculations"]) == ("stopped", 6), shown["reason"]
    assert "budget" in shown["reason"]
    assert Stream.objects.get().head == 72
    assert verified().endswith("0 differ\n")
    Decision.objects.filter(number=1).update(choice='{"action":"stop","reason":"","picks":[]}')
    with pytest.raises(SystemExit):
        verified()


def test_deformed_copies_are_made_of_the_stored_cell(loop):
    loop.create(approval="every")
    driver.drive_all()
    loop.ok("decisions/1/approve")
    loop.turn()
    pick = {"kind": "augment", "composition": "CuZr", "name": "Cu50Zr50-1-03", "family": "Cu50Zr50-1", "deformation": 3}
    loop.ok("decisions/2/approve", {"picks": [pick]})
    loop.turn()
    deform, label = loop.steps[-2:]
    assert (deform["program"], deform["parameters"]) == ("deform", {"deformation": 3})
    assert deform["structure"] == Cell.objects.get(name="Cu50Zr50-1-00").structure
    assert label["structure"] is None, "that of its parent"
    cell = Cell.objects.get(name="Cu50Zr50-1-03")
    assert cell.family == "Cu50Zr50-1"
    assert loop.show()["types"][0]["families"] == 4, "of the same family"
    assert loop.api.ok("/api/v1/compositions/CuZr/")["counts"]["deformations"] == 1
