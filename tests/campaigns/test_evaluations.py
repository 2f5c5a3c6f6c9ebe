"""Evaluations: families are never on both sides, intervals are over families, and a kept one can be made again."""

from io import StringIO
from typing import Any

import numpy as np
import pytest
from django.core.management import call_command

from server.campaigns.evaluation_table import Evaluation
from server.campaigns.evaluations import kept, protocols, scores, worker
from server.campaigns.evaluations.scores import Predicted
from server.campaigns.evaluations.tested_bonds import folds
from server.campaigns.models import Campaign
from tests.api_client import refused
from tests.campaigns.loop import CAMPAIGNS, Loop, bonds_of, cell_of

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.one_database]

EVALUATIONS = f"{CAMPAIGNS}glasses/evaluations/"
CELLS = "/api/v1/streams/bonds/cells/"


@pytest.fixture
def evaluated(loop: Loop) -> Loop:
    """A campaign on a stream with four families of two cells each, of two compositions."""
    for run in range(1, 5):
        composition = "Cu50Zr50" if run < 4 else "Cu64Zr36"
        for strain in (0, 1):
            name = f"{composition}-{run}-{strain:02d}"
            # A family has an error of its own, which only a sibling could tell.
            bonds = bonds_of(name, offset=0.2 * run, number=30)
            loop.api.ok(CELLS, cell_of({"cell": name, "composition": composition}, observations=bonds), 201)
    loop.create(paused=True)
    return loop


def evaluate(loop: Loop, kind: str, **fields: Any) -> Any:
    made = loop.api.ok(EVALUATIONS, {"kind": kind, **fields}, 201)
    assert (made["state"], made["progress"]) == ("waiting", 0.0)
    while worker.work_once():
        pass
    return loop.api.ok(f"{EVALUATIONS}{made['number']}/")


def test_cross_validation_learns_no_sibling_of_what_it_tests(evaluated, monkeypatch):
    seen = []
    original = protocols.Recipe.tested_without

    def watched(recipe: Any, tested: np.ndarray, learned: np.ndarray) -> Predicted:
        seen.append((set(recipe.families[tested]), set(recipe.families[learned])))
        return original(recipe, tested, learned)

    monkeypatch.setattr(protocols.Recipe, "tested_without", watched)
    found = evaluate(evaluated, "cross_validation", folds=4)
    assert (found["state"], found["progress"], found["folds"], found["model"]) == ("done", 1.0, 4, "tree")
    assert sorted(len(tested) for tested, _ in seen) == [1, 1, 1, 1]
    assert all(not tested & learned and len(tested | learned) == 4 for tested, learned in seen)
    row = found["result"]["types"]["Zr-Cu"]
    assert (row["bonds"], row["families"], row["refused"]) == (80, 4, 0)
    assert row["low"] < row["rmse"] < row["high"]
    assert (found["result"]["bonds"], found["result"]["families"]) == (240, 4)
    pairs = np.array(found["result"]["parity"]["Zr-Cu"])
    assert pairs.shape == (80, 2)
    assert np.sqrt(((pairs[:, 1] - pairs[:, 0]) ** 2).mean()) == pytest.approx(row["rmse"], rel=1e-4)
    assert found["made_from"]["position"] == 240


def test_one_cell_is_tested_as_in_production(evaluated):
    found = evaluate(evaluated, "single_cell", cell="Cu64Zr36-4-01")["result"]
    assert (found["family"], found["learned"]) == ("Cu64Zr36-4", 180)
    assert found["types"][""]["bonds"] == 30
    assert found["types"]["Cu-Cu"]["low"] is None  # one family has no interval


def test_each_composition_is_tested_by_what_the_others_know(evaluated):
    found = evaluate(evaluated, "across_compositions")["result"]["compositions"]
    assert {name: row[""]["bonds"] for name, row in found.items()} == {"Cu50Zr50": 180, "Cu64Zr36": 60}


def test_a_learning_curve_says_what_one_more_would_bring(evaluated):
    found = evaluate(evaluated, "learning_curve", folds=4)["result"]
    assert [(one["families"], one["cells"]) for one in found["points"]] == [(1, 2.0), (2, 4.0), (3, 6.0)]
    following = found["next"][""]
    assert following["gain"] >= 0.0
    assert following["rmse"] == pytest.approx(found["points"][-1]["types"][""]["rmse"] - following["gain"], rel=1e-4)


def test_coverage_and_calibration(evaluated):
    found = evaluate(evaluated, "coverage")["result"]["compositions"]["Cu50Zr50"]["Zr-Cu"]
    assert (found["compared"], found["learned"], found["error"]) == (60, 60, 0.0)
    assert 0.0 <= found["covered"] <= 1.0
    empty = evaluate(evaluated, "calibration")["result"]["types"]["Zr-Cu"]  # a tree has no standard deviations
    assert (empty["bonds"], empty["scale"]) == (0, None)


def test_a_kept_evaluation_is_made_again_after_the_log_has_grown_and_lost_some(evaluated):
    numbers = [evaluate(evaluated, kind)["number"] for kind in ("cross_validation", "coverage")]
    name = "Cu50Zr50-9-00"
    evaluated.api.ok(CELLS, cell_of({"cell": name, "composition": "Cu50Zr50"}), 201)
    evaluated.api.ok("/api/v1/streams/bonds/observations/3/retract/", {"reason": "wrong"}, 202)
    campaign = Campaign.objects.get(name="glasses")
    said = StringIO()
    call_command("verify_campaign", "glasses", "--evaluations", stdout=said)
    assert said.getvalue().endswith("glasses: 2 evaluations, 0 differ\n")
    Evaluation.objects.filter(campaign=campaign, number=numbers[1]).update(fingerprint="0" * 64)
    with pytest.raises(SystemExit):
        call_command("verify_campaign", "glasses", "--evaluations", stdout=said)
    assert f"evaluation {numbers[1]}: DIFFERS: its result differs now" in said.getvalue()


def test_an_evaluation_on_a_database_stays_on_its_bonds(evaluated):
    evaluated.api.ok("/api/v1/databases/", {"name": "some", "stream": "bonds", "types": {"Zr-Cu": 40}}, 201)
    found = evaluate(evaluated, "cross_validation", database="some")
    assert (found["result"]["bonds"], set(found["result"]["types"])) == (40, {"", "Zr-Cu"})
    shown = evaluated.api.ok("/api/v1/databases/some/")
    assert found["made_from"]["database"] == shown["fingerprint"]


def test_a_process_that_is_killed_is_followed_by_another(evaluated):
    evaluated.api.ok(EVALUATIONS, {"kind": "coverage"}, 201)
    Evaluation.objects.update(state=Evaluation.RUNNING, leased_until="2020-01-01T00:00:00Z")
    assert worker.work_once()
    assert evaluated.api.ok(EVALUATIONS + "1/")["state"] == "done"


def test_what_can_not_be_evaluated_says_why(evaluated, monkeypatch):
    api = evaluated.api
    for body, status, field in (
        ({}, 400, "kind"),
        ({"kind": "luck"}, 400, "kind"),
        ({"kind": "coverage", "model": "other"}, 400, "model"),
        ({"kind": "single_cell"}, 400, "cell"),
        ({"kind": "single_cell", "cell": "nothing"}, 404, "cell"),
        ({"kind": "coverage", "cell": "Cu50Zr50-1-00"}, 400, "cell"),
        ({"kind": "coverage", "database": "nothing"}, 404, "database"),
        ({"kind": "coverage", "folds": 1}, 400, "folds"),
        ({"kind": "coverage", "seed": -1}, 400, "seed"),
    ):
        refused(api.post(EVALUATIONS, body), status, field)
    refused(api.get(EVALUATIONS + "1/"), 404, "evaluation")
    api.ok("/api/v1/databases/", {"name": "one", "stream": "bonds", "cells": ["Cu50Zr50-1-*"]}, 201)
    failed = evaluate(evaluated, "cross_validation", database="one")
    assert failed["state"] == "failed"
    assert "at least two families" in failed["reason"]
    for _ in range(kept.MOST_OPEN):
        api.ok(EVALUATIONS, {"kind": "coverage"}, 201)
    refused(api.post(EVALUATIONS, {"kind": "coverage"}), 429)
    assert len(api.ok(EVALUATIONS)["evaluations"]) == kept.MOST_OPEN + 1


# The computations


def test_the_interval_is_over_families_not_over_bonds():
    """A hundred bonds of each of two families that err differently: no single bond is drawn, so the bounds are wide."""
    error = np.concatenate([np.full(100, 0.1), np.full(100, 0.3)])
    families = np.array(["a"] * 100 + ["b"] * 100, dtype=object)
    tested = Predicted(np.array(["Zr-Cu"] * 200, dtype=object), families, error, np.full(200, np.nan), np.zeros(200))
    row = scores.by_type(tested, 0)["Zr-Cu"]
    assert (row["rmse"], row["low"], row["high"]) == (scores.rounded(np.sqrt(0.05)), 0.1, 0.3)


def test_the_scale_makes_a_standard_deviation_hold():
    random = np.random.default_rng(1)
    std = np.full(5000, 0.05)
    tested = Predicted(
        np.array(["k"] * 5000, dtype=object),
        np.array(["a"] * 5000, dtype=object),
        random.normal(size=5000) * 0.1,
        std,
        np.zeros(5000),
    )
    row = scores.calibration(tested)["k"]
    assert row["scale"] == pytest.approx(2.0, rel=0.05)
    assert row["covered"] < 0.72
    assert row["covered_scaled"] == pytest.approx(0.95, abs=0.01)


def test_a_power_law_is_continued():
    points = [{"families": n, "types": {"k": {"rmse": 0.4 / n**0.5}}} for n in (1, 2, 4, 8)]
    found = protocols._next(points, "k")
    assert found == {"exponent": -0.5, "rmse": scores.rounded(0.4 / 3), "gain": scores.rounded(0.4 / 8**0.5 - 0.4 / 3)}
    assert protocols._next(points[:2], "k") is None


def test_folds_are_the_same_in_every_order_and_whole():
    names = [f"f{n}" for n in range(11)]
    dealt = folds(names, 4, 7)
    assert dealt == folds(names[::-1], 4, 7)
    assert sorted(name for fold in dealt for name in fold) == sorted(names)
    assert sorted(map(len, dealt)) == [2, 3, 3, 3]
    assert folds(names, 4, 8) != dealt
    assert len(folds(names[:2], 5, 0)) == 2
