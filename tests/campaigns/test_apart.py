"""One campaign harms no other: neither what it asks for, nor its model, nor the agent that runs it, nor how many there are."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from server.campaigns import deciding, driver, stages
from server.campaigns.evaluation_table import Evaluation
from server.campaigns.evaluations import learning_anew, worker
from server.campaigns.models import Campaign, RunAttempt
from server.learning import quarantine
from server.learning.models import Model
from tests.api_client import refused
from tests.campaigns.loop import CAMPAIGNS, TARGETS, bonds_of, cell_of

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.one_database]


def test_what_a_campaign_asks_of_its_programs_is_checked(loop):
    before = Campaign.objects.count()
    for asked, status, field in (
        ({"label": {"resources": {"processes": "x", "seconds": "y"}}}, 400, "programs.label.resources.processes"),
        ({"label": {"resources": {"processes": None}}}, 400, "programs.label.resources.processes"),
        ({"label": {"resources": {"processes": -1000}}}, 400, "programs.label.resources.processes"),
        ({"label": {"resources": {"nodes": True}}}, 400, "programs.label.resources.nodes"),
        ({"label": {"resources": {"seconds": 1e300}}}, 400, "programs.label.resources.seconds"),
        ({"label": {"resources": {"gpus": 1}}}, 400, "programs.label.resources.gpus"),
        ({"label": {"resources": [1]}}, 400, "programs.label.resources"),
        ({"explore": {"parameters": {"atoms": "x" * 2**16}}}, 413, "programs"),
        ({"explore": {"parameters": {"atoms": json.loads("[" * 60 + "]" * 60)}}}, 400, "programs"),
    ):
        body = {"name": "c", "stream": "bonds", "models": ["tree"], "compositions": ["Cu50Zr50"], "targets": TARGETS}
        refused(loop.api.post(CAMPAIGNS, body | {"programs": asked}), status, field)
    assert Campaign.objects.count() == before


def test_an_error_of_ours_in_one_campaign_pauses_it_and_the_others_go_on(loop, monkeypatch):
    loop.create("bad", approval="none")
    loop.create("good", approval="none")
    driver.drive_all()
    submit, tried = stages.submit, []

    def fails(attempt):
        if attempt.run.campaign.name == "bad":
            tried.append(attempt.run.number)
            raise TypeError("can't multiply sequence by non-int")
        submit(attempt)

    monkeypatch.setattr(stages, "submit", fails)
    for _ in range(3):
        driver.drive_all()
    assert {one["calculation"] is not None for one in loop.runs("good")} == {True}
    shown = loop.show("bad")
    assert (shown["state"], tried) == ("paused", [1]), "it is not tried all the time"
    assert "TypeError" in shown["reason"]
    monkeypatch.setattr(stages, "submit", submit)
    monkeypatch.setattr(driver._Last, "failed", {})
    loop.ok("resume", name="bad")
    driver.drive_all()
    assert {one["calculation"] is not None for one in loop.runs("bad")} == {True}


def test_programs_that_were_stored_unchecked_end_their_own_runs(loop):
    loop.create("bad", approval="none")
    loop.create("good", approval="none")
    stored = json.loads(Campaign.objects.get(name="bad").programs)
    stored["label"]["resources"] = {"processes": "x"}
    Campaign.objects.filter(name="bad").update(programs=json.dumps(stored))
    for _ in range(2):
        driver.drive_all()
    assert {(one["state"], one["cause"]) for one in loop.runs("bad")} == {("FAILED", "not submitted")}
    assert "steps[1].resources.processes is 'x'" in loop.runs("bad")[0]["reason"]
    assert {one["calculation"] is not None for one in loop.runs("good")} == {True}


def test_a_correction_that_makes_no_sense_starts_no_attempt(loop):
    loop.create(approval="none")
    for _ in range(2):
        driver.drive_all()
    changes = ({"resources": {"nodes": "x"}}, {"resources": {"nodes": None}}, {"corrections": {"atoms": "x" * 2**19}})
    for step, change in zip(loop.agent.claim(3), changes, strict=True):
        loop.agent.permit(step)
        answer = loop.agent.results(step, "failed", next={"name": "more", "reason": "why not", **change})
        assert (answer["state"], answer.get("next_fence")) == ("failed", None)
    loop.work()
    driver.drive_all()
    assert sorted(one["state"] for one in loop.runs()) == ["DONE", "FAILED", "FAILED", "FAILED"]


def _fill(loop):
    for run in range(1, 4):
        name = f"Cu50Zr50-{run}-00"
        made = cell_of({"cell": name, "composition": "Cu50Zr50"}, observations=bonds_of(name))
        loop.api.ok("/api/v1/streams/bonds/cells/", made, 201)


def test_a_model_in_quarantine_is_run_neither_by_evaluations_nor_by_decisions(loop, monkeypatch):
    """Each of their calls would end a process again. The verdict of the first end may not be stored yet."""
    _fill(loop)
    loop.create(paused=True)
    loop.api.ok(f"{CAMPAIGNS}glasses/evaluations/", {"kind": "cross_validation"}, 201)
    quarantine.demand(Model.objects.get(name="tree").pk, "replay", 5, "it took too long")

    def run(*args, **kwargs):
        raise AssertionError("the model was run")

    monkeypatch.setattr(learning_anew.replay, "advance", run)
    assert worker.work_once()
    found = loop.api.ok(f"{CAMPAIGNS}glasses/evaluations/1/")
    assert (found["state"], "model tree is in quarantine" in found["reason"]) == ("failed", True)
    loop.ok("resume")
    driver.drive_all()
    shown = loop.show()
    assert (shown["state"], "model tree is in quarantine" in shown["reason"]) == ("paused", True)


def test_a_model_that_takes_too_long_to_learn_anew_pauses_its_campaign(loop, monkeypatch):
    _fill(loop)
    loop.create()
    monkeypatch.setattr("server.campaigns.measures.MOST_SECONDS", 0.0)
    driver.drive_all()
    shown = loop.show()
    assert (shown["state"], "takes longer than 0 s" in shown["reason"]) == ("paused", True)


def test_campaigns_of_other_owners_come_before_those_of_one_whose_take_long(loop, monkeypatch):
    for name, owner in (("a1", 101), ("a2", 101), ("a3", 101), ("b1", 102)):
        loop.create(name)
        Campaign.objects.filter(name=name).update(owner_id=owner)
    names = dict(Campaign.objects.values_list("pk", "name"))
    order = []
    monkeypatch.setattr(driver, "drive", lambda campaign: order.append(names[campaign.pk]))
    monkeypatch.setattr(driver._Last, "used", {**driver._Last.used, 101: 0.0, 102: 0.0})
    monkeypatch.setattr(driver, "SLOW", -1.0)
    for _ in range(2):
        driver.drive_all()
    assert order == ["a1", "b1"]


def test_evaluations_of_several_owners_take_turns(loop):
    for name, owner in (("a1", 101), ("a2", 101), ("b1", 102)):
        loop.create(name, paused=True)
        Campaign.objects.filter(name=name).update(owner_id=owner)
        for _ in range(2):
            loop.api.ok(f"{CAMPAIGNS}{name}/evaluations/", {"kind": "coverage"}, 201)
    order = []
    while first := worker._in_turn():
        found = Evaluation.objects.select_related("campaign").get(pk=first[0])
        order.append(f"{found.campaign.name}/{found.number}")
        now = datetime.now(UTC) + timedelta(seconds=len(order))
        Evaluation.objects.filter(pk=found.pk).update(state=Evaluation.DONE, ended_at=now)
    assert order == ["a1/1", "b1/1", "a1/2", "b1/2", "a2/1", "a2/2"]


def test_few_requests_decide_at_once(loop, monkeypatch):
    loop.create()
    monkeypatch.setattr(deciding.DECIDING, "limits", lambda: (0, 0))
    refused(loop.post("propose"), 429)
    refused(loop.api.post("/api/seed/generate/Cu50Zr50", {"campaign": "glasses"}), 429)
    driver.drive_all()
    assert loop.ok("propose")["round"] == 1, "an open proposal needs no decision"


def test_the_list_takes_as_many_queries_for_many_campaigns_as_for_one(loop):
    loop.create("one", approval="none")
    for _ in range(2):
        driver.drive_all()
    with CaptureQueriesContext(
        connection,
    ) as alone:
        before = loop.api.ok(CAMPAIGNS)["campaigns"]
    for number in range(3):
        loop.create(f"other-{number}")
    with CaptureQueriesContext(connection) as together:
        after = loop.api.ok(CAMPAIGNS)["campaigns"]
    assert len(together) == len(alone)
    assert after[0] == before[0]
    attempts = RunAttempt.objects.filter(run__campaign__name="one", calculation_number__isnull=False).count()
    assert (after[0]["used"], after[0]["round"]) == ({"calculations": attempts, "node_hours": 0.0}, 1)
    assert (after[1]["used"]["calculations"], after[1]["round"], after[1]["compositions"]) == (0, 0, ["Cu50Zr50"])


def test_the_cells_of_compositions_are_counted_without_reading_them(loop):
    _fill(loop)
    copy = cell_of({"cell": "Cu50Zr50-1-07", "composition": "Zr50Cu50"}, provenance={"family": "Cu50Zr50-1"})
    loop.api.ok("/api/v1/streams/bonds/cells/", copy, 201)
    failed = cell_of({"cell": "Cu50Zr50-9-00", "composition": "CuZr"}, status="failed", reason="no luck")
    del failed["observations"]
    loop.api.ok("/api/v1/streams/bonds/cells/", failed, 201)
    with CaptureQueriesContext(connection) as asked:
        [shown] = loop.api.ok("/api/v1/compositions/")["compositions"]
    assert shown["counts"] == {"cells": 3, "deformations": 1, "labeled": 4, "labels": 48, "failed": 1, "runs": 0}
    about_cells = [one["sql"] for one in asked if "cells_cell" in one["sql"]]
    assert len(about_cells) == 1
    assert not any(name in about_cells[0] for name in ("structure", "provenance", "checksums"))
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN QUERY PLAN {about_cells[0]}")
            assert "COVERING INDEX cell_composition" in str(cursor.fetchall())


def test_a_user_has_so_many_campaigns(loop, settings):
    settings.TAILRACE = settings.TAILRACE.model_copy(update={"quota_campaigns": 1})
    loop.create()
    body = {"name": "c", "stream": "bonds", "models": ["tree"], "compositions": ["Cu50Zr50"], "targets": TARGETS}
    error = refused(loop.api.post(CAMPAIGNS, body), 403, code="quota_exceeded")
    assert "TAILRACE_QUOTA_CAMPAIGNS" in error["message"]
