"""How far a cell that has no labels yet lies from what was learned, on constructed cases whose right answers are known."""

from typing import Any

import numpy as np
import pytest
from tailrace.estimators import BondGPR

from server.cells import reference
from server.learning import inspection
from server.learning import registry as models
from tests.api_client import refused
from tests.cell_examples import everything
from tests.cells.test_coverage import points

pytestmark = pytest.mark.django_db(transaction=True)

PATH = "/api/v1/models/avg/coverage/"


@pytest.fixture
def learned(bonds: Any) -> Any:
    """A model of the mean that has learned two cells, whose vectors stand half a unit apart on a line from 0 to 9.5."""
    bonds.api.model("avg", "bonds", "mean")
    bonds.add("a", points("Zr-Cu", [float(n) for n in range(10)]))
    bonds.add("b", points("Zr-Cu", [n + 0.5 for n in range(10)]))
    return bonds


def xs(kind: str, places: list[float]) -> list[Any]:
    return [one["x"] for one in points(kind, places)]


def ask(bonds: Any, some: list[Any], model: str = "avg") -> Any:
    return bonds.api.ok(f"/api/v1/models/{model}/coverage/", {"descriptor": "soap", "xs": some})


def test_the_distances_of_each_type_are_those_to_the_nearest_learned_bond(learned):
    found = ask(learned, xs("Zr-Cu", [0.25, 9.75, 20.0, 9.0]))
    assert (found["model"], found["at"], set(found["types"])) == ("avg", 20, {"Zr-Cu"})
    row = found["types"]["Zr-Cu"]
    assert row["reach"] == 0.5
    assert (row["learned"], row["tested"], row["refused"]) == (20, 4, 0)
    assert row["distance"] == (0.25 + 0.25 + 10.5 + 0.0) / 4
    assert (row["farthest"], row["covered"]) == (10.5, 0.75)
    assert found["all"] == {name: value for name, value in row.items() if name != "reach"}


def test_it_says_what_a_database_of_the_same_bonds_would_say(learned):
    places = [0.2, 3.3, 11.0, 9.5]
    found = ask(learned, xs("Zr-Cu", places))["types"]["Zr-Cu"]
    learned.api.stream("held", target={"name": "-ICOHP", "unit": "eV"}, segment="bond", descriptor="soap")
    cell = {"name": "c", "structure": '1\nLattice=""\nCu 0 0 0\n', "composition": "Cu", "descriptor": "soap"}
    learned.api.ok("/api/v1/streams/held/cells/", {**cell, "observations": points("Zr-Cu", places)}, 201)
    learned.api.ok("/api/v1/databases/", {"name": "dbi", "stream": "held"}, 201)
    tested = learned.api.ok(f"{PATH}?database=dbi")["types"]["Zr-Cu"]
    assert found == {name: tested[name] for name in found}


def test_a_cell_that_was_learned_lies_on_itself(learned):
    assert ask(learned, xs("Zr-Cu", [3.0, 4.5]))["all"]["farthest"] == 0.0


def test_what_is_learned_meanwhile_comes_within_reach(learned):
    assert ask(learned, xs("Zr-Cu", [20.0]))["all"]["covered"] == 0.0
    learned.add("c", points("Zr-Cu", [20.0]))
    found = ask(learned, xs("Zr-Cu", [20.0]))
    assert (found["at"], found["all"]["distance"], found["all"]["covered"]) == (21, 0.0, 1.0)
    learned.api.ok(learned.OBSERVATIONS + "21/retract/", {"reason": "wrong"}, 202)
    assert ask(learned, xs("Zr-Cu", [20.0]))["all"]["distance"] == 10.5


def test_a_type_that_was_never_learned_has_no_distance_and_is_not_covered(learned):
    found = ask(learned, [*xs("Zr-Cu", [1.25]), *xs("Al-Al", [1.25])])
    new = found["types"]["Al-Al"]
    assert (new["learned"], new["distance"], new["farthest"], new["reach"], new["covered"]) == (0, None, None, None, 0)
    assert (found["types"]["Zr-Cu"]["distance"], found["types"]["Zr-Cu"]["covered"]) == (0.25, 1.0)
    together = found["all"]
    assert (together["tested"], together["distance"], together["covered"]) == (2, None, 0.5)


def test_with_one_learned_cell_nobody_can_say_how_far_it_reaches(bonds):
    bonds.api.model("avg", "bonds", "mean")
    bonds.add("a", points("Zr-Cu", [0.0, 1.0]))
    row = ask(bonds, xs("Zr-Cu", [1.5]))["types"]["Zr-Cu"]
    assert (row["distance"], row["reach"], row["covered"]) == (0.5, None, None)


def test_the_uncertainty_is_the_mean_of_what_the_estimator_says(learned, work):
    models.create("gpr", "bonds", "regression", BondGPR())
    work()
    some = xs("Zr-Cu", [0.25, 20.0])
    found = ask(learned, [*some, {**some[0], "distance": "far"}], "gpr")["all"]
    estimator = inspection.with_replica("gpr", lambda replica: replica.estimator)
    assert found["std"] == pytest.approx(np.mean([estimator.predict_std_one(x) for x in some]), rel=1e-12)
    assert (found["tested"], found["refused"]) == (3, 1)
    assert ask(learned, some)["all"]["std"] is None  # a mean knows nothing of that


def test_asking_changes_nothing(learned):
    before = everything(learned.api), learned.api.get("/api/v1/models/avg/download/").content
    ask(learned, xs("Zr-Cu", [0.25]))
    assert (everything(learned.api), learned.api.get("/api/v1/models/avg/download/").content) == before


def test_more_vectors_than_are_compared_are_drawn_the_same_every_time(learned, monkeypatch):
    monkeypatch.setattr(reference, "MAX_LEARNED", 7)
    first = ask(learned, xs("Zr-Cu", [0.25, 5.1]))
    assert first == ask(learned, xs("Zr-Cu", [0.25, 5.1]))
    assert first["types"]["Zr-Cu"]["learned"] == 20


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"s1": ...}, "xs[1].s1"),
        ({"s2": 0.5}, "xs[1].s2"),
        ({"s0": "far"}, "xs[1].s0"),
        ({"bond": ...}, "xs[1].bond"),
        ({"s0": None}, "xs[1].s0"),
    ],
)
def test_a_vector_that_the_learned_ones_can_t_be_compared_with_is_refused(change, field, learned):
    good, bad = xs("Zr-Cu", [1.0, 2.0])
    bad = {name: value for name, value in (bad | change).items() if value is not ...}
    refused(learned.api.post(PATH, {"descriptor": "soap", "xs": [good, bad]}), 400, field)


def test_features_of_another_definition_are_refused(learned):
    some = xs("Zr-Cu", [1.0])
    for named in ({}, {"descriptor": None}, {"descriptor": "other"}):
        refused(learned.api.post(PATH, {**named, "xs": some}), 409, "descriptor")
    learned.api.stream("plain", segment="bond")
    learned.api.model("plain-avg", "plain", "mean")
    refused(
        learned.api.post("/api/v1/models/plain-avg/coverage/", {"descriptor": "soap", "xs": some}), 409, "descriptor"
    )


def test_what_cannot_be_asked_is_refused(learned, settings):
    some = xs("Zr-Cu", [1.0])
    refused(learned.api.post("/api/v1/models/nothing/coverage/", {"descriptor": "soap", "xs": some}), 404, "model")
    for wrong in ([], {}, None, "x"):
        refused(learned.api.post(PATH, {"descriptor": "soap", "xs": wrong}), 400, "xs")
    refused(learned.api.post(PATH, {"descriptor": "soap"}), 400, "xs", "missing")
    refused(learned.api.post(PATH, {"descriptor": "soap", "xs": some, "ys": [1]}), 400, "ys")
    refused(learned.api.post(PATH, {"descriptor": "soap", "xs": [[]]}), 400, "xs[0]")
    refused(learned.api.post(f"{PATH}?database=x", {"descriptor": "soap", "xs": some}), 400, "database")
    settings.TAILRACE = settings.TAILRACE.model_copy(update={"max_points": 2})
    refused(learned.api.post(PATH, {"descriptor": "soap", "xs": some * 3}), 413, "xs")


def test_a_stream_without_a_descriptor_or_types_is_compared_by_all_its_numbers(api):
    api.stream("plain", segment=None)
    api.model("avg", "plain", "mean")
    cell = {"structure": '1\nLattice=""\nCu 0 0 0\n', "composition": "Cu"}
    for name, a in (("one", 0.0), ("two", 3.0)):
        point = {"x": {"a": a, "b": a * 4 / 3, "word": "w"}, "y": 1.0}
        api.ok("/api/v1/streams/plain/cells/", {**cell, "name": name, "observations": [point]}, 201)
    found = api.ok(PATH, {"xs": [{"a": 6.0, "b": 8.0, "word": "v"}]})
    assert found["types"][""]["distance"] == 5.0
    assert (found["types"][""]["reach"], found["all"]["covered"]) == (5.0, 1.0)
