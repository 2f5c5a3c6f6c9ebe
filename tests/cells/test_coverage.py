"""What active learning decides by, on constructed cases whose right answers are known."""

import contextlib
import math
from typing import Any

import numpy as np
import pytest
from river import linear_model
from tailrace.estimators import BondGPR

from server.cells import coverage, reference
from server.cells.comparisons import COMPUTING
from server.cells.nearest import Learned
from server.learning import evaluation, inspection
from server.learning import registry as models
from server.learning.background import retention
from server.streams.models import Stream
from tests.api_client import refused
from tests.cell_examples import bond

pytestmark = pytest.mark.django_db(transaction=True)


def points(kind: str, places: list[float], y: float = 2.0) -> list[Any]:
    """Bonds whose vectors stand at these places of a line; their lengths differ and must not matter."""
    return [{"x": {"bond": kind, "distance": 2.5 + n, "s0": s0, "s1": 0.0}, "y": y} for n, s0 in enumerate(places)]


@pytest.fixture
def held(bonds: Any) -> Any:
    """A model of the mean that has learned two cells, half a unit apart, and a stream of cells that are held back."""
    bonds.api.model("avg", "bonds", "mean")
    bonds.add("a", points("Zr-Cu", [float(n) for n in range(10)]), composition="Cu50Zr50")
    bonds.add("b", points("Zr-Cu", [n + 0.5 for n in range(10)]), composition="Cu64Zr36")
    bonds.api.stream("held", target={"name": "-ICOHP", "unit": "eV"}, segment="bond", descriptor="soap")
    hold(bonds, "near", points("Zr-Cu", [0.25, 9.75], 3.0), "Cu50Zr50")
    hold(bonds, "far", points("Zr-Cu", [20.0, 9.0], 6.0), "Cu64Zr36")
    hold(bonds, "new", points("Al-Al", [1.0], 2.0), "Cu64Zr36")
    define(bonds, "test", stream="held")
    return bonds


def hold(bonds: Any, name: str, observations: list[Any], composition: str = "Cu50Zr50") -> None:
    body = {"name": name, "structure": '1\nLattice=""\nCu 0 0 0\n', "composition": composition, "descriptor": "soap"}
    bonds.api.ok("/api/v1/streams/held/cells/", {**body, "observations": observations}, 201)


def define(bonds: Any, name: str, **fields: Any) -> None:
    bonds.api.ok("/api/v1/databases/", {"name": name, "stream": "bonds", **fields}, 201)


def covered(bonds: Any, model: str = "avg", database: str | None = "test") -> Any:
    query = "" if database is None else f"?database={database}"
    return bonds.api.ok(f"/api/v1/models/{model}/coverage/{query}")


def test_how_far_the_vectors_of_each_cell_lie_from_those_learned(held):
    found = covered(held)
    assert (found["model"], found["database"], found["at"]) == ("avg", "test", 20)
    assert found["types"]["Zr-Cu"]["reach"] == 0.5
    near, far = found["cells"]["near"], found["cells"]["far"]
    assert (near["distance"], near["farthest"], near["covered"]) == (0.25, 0.25, 1.0)
    assert (far["distance"], far["farthest"], far["covered"]) == (5.25, 10.5, 0.5)
    both = found["types"]["Zr-Cu"]
    assert (both["distance"], both["covered"], both["tested"]) == (2.75, 0.75, 4)
    assert both["compositions"]["Cu50Zr50"]["covered"] == 1.0
    assert both["compositions"]["Cu64Zr36"]["covered"] == 0.5


def test_only_so_many_are_computed_at_once(held):
    """Each holds the observations that it compares."""
    slots = COMPUTING
    with contextlib.ExitStack() as taken:
        for _ in range(slots.limits()[0]):
            taken.enter_context(slots.held(None))
        busy = held.api.get("/api/v1/models/avg/coverage/?database=test")
        assert (busy.status_code, busy.json()["error"]["code"]) == (503, "unavailable")
    assert covered(held)["at"] == 20
    assert covered(held)["at"] == 20


def test_a_type_that_was_never_learned_is_not_covered_and_has_no_distance(held):
    new = covered(held)["types"]["Al-Al"]
    assert (new["learned"], new["scored"], new["tested"]) == (0, 0, 1)
    assert (new["distance"], new["farthest"], new["reach"], new["covered"]) == (None, None, None, 0.0)
    assert new["prequential_rmse"] is None
    assert new["rmse"] == 0.0  # the mean of what was learned happens to be right


def test_the_errors_on_a_database_are_of_the_model_as_it_is_now(held):
    found = covered(held)
    assert (found["cells"]["near"]["rmse"], found["cells"]["far"]["rmse"]) == (1.0, 4.0)
    assert found["types"]["Zr-Cu"]["rmse"] == pytest.approx(math.sqrt((1 + 1 + 16 + 16) / 4), rel=1e-15)
    held.add("c", points("Zr-Cu", [100.0] * 20, 4.0))
    assert covered(held)["cells"]["near"]["rmse"] == pytest.approx(0.0, abs=1e-12)
    assert covered(held)["at"] == 40


def test_what_lies_within_reach_once_a_cell_like_it_was_learned_is_covered(held):
    assert covered(held)["cells"]["far"]["covered"] == 0.5
    held.add("c", points("Zr-Cu", [20.0]))
    far = covered(held)["cells"]["far"]
    assert (far["distance"], far["covered"]) == (0.0, 1.0)


def test_a_single_cell_says_how_far_others_are_but_not_how_far_it_reaches(bonds):
    bonds.api.model("avg", "bonds", "mean")
    bonds.add("a", points("Zr-Cu", [0.0, 1.0]))
    bonds.api.stream("held", target={"name": "-ICOHP", "unit": "eV"}, segment="bond", descriptor="soap")
    hold(bonds, "x", points("Zr-Cu", [1.5]))
    define(bonds, "test", stream="held")
    found = covered(bonds)["cells"]["x"]
    assert (found["distance"], found["covered"]) == (0.5, None)


def test_a_learned_cell_is_compared_with_the_others_not_with_itself(held):
    define(held, "own")
    found = covered(held, database="own")
    assert (found["cells"]["a"]["distance"], found["cells"]["a"]["covered"]) == (0.5, 1.0)
    held.add("alone", points("Zr-Cu", [50.0]))
    define(held, "again")
    alone = covered(held, database="again")["cells"]["alone"]
    assert alone["distance"] == 40.5
    assert alone["covered"] == 0.0


def test_retracted_observations_are_neither_learned_nor_near(held):
    held.add("c", points("Zr-Cu", [20.0]))
    assert covered(held)["cells"]["far"]["covered"] == 1.0
    held.api.ok(held.OBSERVATIONS + "21/retract/", {"reason": "wrong"}, 202)
    found = covered(held)
    assert (found["cells"]["far"]["covered"], found["types"]["Zr-Cu"]["learned"]) == (0.5, 20)


def test_without_a_database_it_says_what_was_learned_and_how_well(held):
    found = covered(held, database=None)
    assert (found["database"], found["cells"]) == (None, {})
    row = found["types"]["Zr-Cu"]
    assert (row["learned"], row["scored"], row["tested"], row["rmse"], row["covered"]) == (20, 19, 0, None, None)
    assert row["prequential_rmse"] == 0.0  # after the first, the mean of what is always 2 is right
    assert {of: own["learned"] for of, own in row["compositions"].items()} == {"Cu50Zr50": 10, "Cu64Zr36": 10}


def test_prequential_errors_by_type_are_those_of_the_metrics(bonds):
    bonds.tree()
    for n in range(4):
        kinds = ("Zr-Cu", "Cu-Cu", "Zr-Zr")
        bonds.add(f"c{n}", [bond(kinds[k % 3], 2.5 + 0.01 * k + 0.003 * n, 3.0 - 0.1 * (k % 7)) for k in range(40)])
    metrics = bonds.api.ok("/api/v1/models/tree/metrics/")["segments"]
    found = covered(bonds, "tree", None)["types"]
    assert set(found) == set(metrics) == {"Zr-Cu", "Cu-Cu", "Zr-Zr"}
    for kind, row in found.items():
        assert row["scored"] == metrics[kind]["n"]
        assert row["prequential_rmse"] == pytest.approx(metrics[kind]["RMSE"], rel=1e-12)


def test_a_model_made_later_has_no_errors_of_what_it_learned_from_the_history(held, work):
    held.api.model("late", "bonds", "mean")
    work()
    held.add("c", points("Zr-Cu", [3.0], 5.0))
    row = covered(held, "late")["types"]["Zr-Cu"]
    assert (row["learned"], row["scored"], row["prequential_rmse"]) == (21, 1, 3.0)
    held.api.model("fresh", "bonds", "mean", backfill=False)
    held.add("d", points("Zr-Cu", [3.0], 5.0))
    row = covered(held, "fresh")["types"]["Zr-Cu"]
    assert (row["learned"], row["scored"]) == (1, 0)


def test_the_uncertainty_is_the_mean_of_what_the_estimator_says_of_each_bond(held, work):
    models.create("gpr", "bonds", "regression", BondGPR())
    work()
    found = covered(held, "gpr")["cells"]["near"]
    estimator = inspection.with_replica("gpr", lambda replica: replica.estimator)
    xs = [one["x"] for one in points("Zr-Cu", [0.25, 9.75])]
    assert found["std"] == pytest.approx(np.mean([estimator.predict_std_one(x) for x in xs]), rel=1e-12)
    assert found["std"] > 0
    assert covered(held)["cells"]["near"]["std"] is None  # a mean knows nothing of that


def test_an_interval_stands_in_for_a_standard_deviation():
    class Normal:
        def predict_interval_one(self, x: Any, level: float) -> tuple[float, float] | None:
            from scipy.stats import norm

            low, high = norm.interval(level, 0.0, 1.5)
            return None if x["a"] else (low, high)

    std = evaluation._std_of(Normal())
    assert std is not None
    assert std({"a": 0}) == pytest.approx(1.5, rel=1e-12)
    assert std({"a": 1}) is None
    assert evaluation._std_of(linear_model.LinearRegression()) is None


def test_points_that_the_model_refuses_are_counted_and_spoil_nothing(held, work):
    models.create("gpr", "bonds", "regression", BondGPR())
    work()
    odd = points("Zr-Cu", [5.25, 5.75])
    odd[1]["x"]["distance"] = "far"
    hold(held, "odd", odd)
    define(held, "with-odd", stream="held")
    found = covered(held, "gpr", "with-odd")
    row = found["cells"]["odd"]
    assert (row["tested"], row["refused"], row["covered"]) == (2, 1, 1.0)
    assert row["rmse"] is not None
    assert found["cells"]["near"] == covered(held, "gpr")["cells"]["near"]


def test_a_word_in_the_place_of_a_number_is_no_part_of_a_vector(held):
    odd = points("Zr-Cu", [5.25])
    odd[0]["x"]["s1"] = "far"
    hold(held, "odd", odd)
    define(held, "with-odd", stream="held")
    assert covered(held, database="with-odd")["cells"]["odd"]["distance"] == 0.25


def test_asking_teaches_the_model_nothing(held):
    before = held.api.ok("/api/v1/models/avg/"), held.api.get("/api/v1/models/avg/download/").content
    covered(held)
    assert (held.api.ok("/api/v1/models/avg/"), held.api.get("/api/v1/models/avg/download/").content) == before


def test_what_is_of_another_descriptor_or_segment_is_not_compared(held):
    held.api.ok("/api/v1/descriptors/", {"name": "other", "content": {"r_cut": 4}}, 201)
    for stream, fields in (("o", {"descriptor": "other", "segment": "bond"}), ("p", {"descriptor": "soap"})):
        held.api.stream(stream, **fields)
        cell = {"name": "c", "structure": '1\nLattice=""\nCu 0 0 0\n', "composition": "Cu"}
        body = {**cell, "descriptor": fields["descriptor"], "observations": points("Zr-Cu", [1.0])}
        held.api.ok(f"/api/v1/streams/{stream}/cells/", body, 201)
        define(held, f"of-{stream}", stream=stream)
        refused(held.api.get(f"/api/v1/models/avg/coverage/?database=of-{stream}"), 409, "database")


def test_what_cannot_be_asked_is_refused(held, monkeypatch):
    path = "/api/v1/models/avg/coverage/"
    refused(held.api.get("/api/v1/models/nothing/coverage/"), 404, "model")
    refused(held.api.get(path + "?database=nothing"), 404, "database")
    refused(held.api.get(path + "?dbi=test"), 400, "dbi")
    held.api.stream("flags", target={"name": "ok", "kind": "boolean"})
    models.create("flag", "flags", "binary", linear_model.LogisticRegression())
    refused(held.api.get("/api/v1/models/flag/coverage/"), 409)
    monkeypatch.setattr(coverage, "MOST_TESTED", 4)
    refused(held.api.get(path + "?database=test"), 400, "database", "too_many")


def test_streams_without_a_descriptor_are_compared_by_all_their_numbers(api):
    api.stream("plain", segment="kind")
    api.model("avg", "plain", "mean")
    cell = {"structure": '1\nLattice=""\nCu 0 0 0\n', "composition": "Cu"}
    for name, a in (("one", 0.0), ("two", 3.0)):
        point = {"x": {"kind": "k", "a": a, "b": a * 4 / 3, "word": "w"}, "y": 1.0}
        api.ok("/api/v1/streams/plain/cells/", {**cell, "name": name, "observations": [point]}, 201)
    api.ok("/api/v1/databases/", {"name": "all", "stream": "plain"}, 201)
    found = api.ok("/api/v1/models/avg/coverage/?database=all")
    assert (found["cells"]["one"]["distance"], found["types"]["k"]["reach"]) == (5.0, 5.0)


def test_more_vectors_than_are_compared_are_drawn_the_same_every_time(held, monkeypatch):
    monkeypatch.setattr(reference, "MAX_LEARNED", 7)
    first = covered(held)
    assert first == covered(held)
    assert first["types"]["Zr-Cu"]["learned"] == 20
    assert first["cells"]["near"]["distance"] >= 0.25


# Distances themselves


def test_the_reach_is_the_distance_that_all_but_a_twentieth_keep():
    ours, theirs = np.arange(100.0)[:, None] * 10, np.arange(100.0)[:, None] * 10 + 1
    theirs[:5] += 3.0
    learned = Learned(np.vstack([ours, theirs]), ["a"] * 100 + ["b"] * 100)
    assert learned.reach == 1.0
    far = theirs.copy()
    far[:10] += 2.0
    assert Learned(np.vstack([ours, far]), ["a"] * 100 + ["b"] * 100).reach > 1.0


def test_distances_are_the_smallest_to_any_other_cell_also_in_many_parts():
    random = np.random.default_rng(7)
    vectors, asked = random.normal(size=(700, 5)), random.normal(size=(1203, 5))
    cells = [n % 9 for n in range(700)]
    found = Learned(vectors, cells).distances(asked, [n % 11 for n in range(1203)])
    for n in (0, 499, 500, 1202):
        others = [vector for vector, cell in zip(vectors, cells, strict=True) if cell != n % 11]
        assert found[n] == pytest.approx(min(np.linalg.norm(asked[n] - one) for one in others), rel=1e-12)


def test_nothing_learned_is_infinitely_far():
    nothing = Learned(np.empty((0, 3)), [])
    assert nothing.reach is None
    assert nothing.distances(np.zeros((2, 3)), ["a", "b"]).tolist() == [math.inf, math.inf]


def test_a_model_that_takes_too_long_for_a_database_is_told_so(held, settings):
    settings.TAILRACE = settings.TAILRACE.model_copy(update={"block_seconds": 1e-9})
    error = refused(held.api.get("/api/v1/models/avg/coverage/?database=test"), 413)
    assert error["code"] == "too_slow" and "send fewer points" in error["message"]


def test_observations_whose_features_are_no_longer_kept_are_left_out(held):
    retention.carry_out(retention.plan(Stream.objects.get(name="bonds"), 10, 5))
    retention.carry_out(retention.plan(Stream.objects.get(name="held"), 2, 2))
    assert covered(held, database=None)["at"] == 20
    assert covered(held)["cells"]["far"]["covered"] == 0.5
