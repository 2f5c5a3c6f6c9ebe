"""Cells: a structure and its bonds, stored and learned in one transaction."""

import json
from types import SimpleNamespace
from typing import Any

import pytest
from river import linear_model

from server.accounts import current_request
from server.accounts.models import AuditEntry
from server.cells import descriptors, posting
from server.cells.models import Cell
from server.core.db.locks import transaction_for_writing
from server.learning import registry as models
from server.learning import verification
from server.learning.models import Model
from server.streams import registry as streams
from server.streams.models import Batch
from tests.api_client import refused
from tests.cell_examples import DEFINITION, STRUCTURE, bond, everything, new_cell
from tests.people import bearer, person, secret_of

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]


def test_a_cell_comes_back_with_all_that_was_said_of_it(bonds):
    response = bonds.post()
    made = response.json()
    assert response.status_code == 201
    assert (made["first"], made["last"], made["status"], made["descriptor"]) == (1, 4, "labeled", "soap")
    assert made["types"] == {"Zr-Cu": 2, "Zr-Zr": 1, "Cu-Cu": 1}
    cell = bonds.api.get(response.headers["Location"]).json()
    sent = new_cell()
    assert {name: cell[name] for name in ("name", "composition", "structure", "provenance", "checksums")} == {
        name: sent[name] for name in ("name", "composition", "structure", "provenance", "checksums")
    }
    assert [(one["x"], one["y"]) for one in bonds.api.ok(bonds.OBSERVATIONS)["observations"]] == [
        (one["x"], one["y"]) for one in sent["observations"]
    ]


def test_its_bonds_are_predicted_scored_and_learned_as_every_other_post(bonds):
    """Two streams, the same points: as cells to one, as plain posts to the other. Every number is the same."""
    bonds.api.stream("plain", target={"name": "-ICOHP", "unit": "eV"}, segment="bond")
    for stream in ("bonds", "plain"):
        bonds.tree(f"tree-{stream}", stream)
        bonds.api.model(f"avg-{stream}", stream, "mean")
    for n in range(3):
        points = [bond("Zr-Cu" if k % 2 else "Cu-Cu", 2.5 + 0.1 * k + 0.01 * n) for k in range(7)]
        told = bonds.add(f"c{n}", points)["models"]
        plain = bonds.api.ok("/api/v1/streams/plain/observations/", {"observations": points})["models"]
        for kind in ("tree", "avg"):
            assert told[f"{kind}-bonds"] == plain[f"{kind}-plain"]
            assert len(told[f"{kind}-bonds"]["predictions"]) == 7
    for kind in ("tree", "avg"):
        found, expected = (bonds.api.ok(f"/api/v1/models/{kind}-{s}/metrics/") for s in ("bonds", "plain"))
        assert found | {"model": ""} == expected | {"model": ""}
        assert (found["learned"], found["segments"]["Zr-Cu"]["n"]) == (21, 9)
    calls = "/api/v1/models/tree-bonds/stats/"
    before = bonds.api.ok(calls)["learn"]["n_calls"]
    bonds.add("c3")
    assert bonds.api.ok(calls)["learn"]["n_calls"] == before + 1


def test_a_replay_of_cells_gives_what_was_predicted_bit_for_bit(bonds):
    bonds.tree()
    for n in range(3):
        bonds.add(f"c{n}", [bond("Zr-Cu", 2.5 + 0.013 * k * (n + 1)) for k in range(9)])
    found = verification.verify(Model.objects.get(name="tree"))
    assert (found["observations"], found["predictions"]) == (27, 27)


def test_more_bonds_than_a_batch_holds_are_one_cell(bonds):
    bonds.api.model("avg", "bonds", "mean")
    points = [bond("Zr-Cu", 2.5 + 0.001 * k) for k in range(1203)]
    bonds.add("small", points[:2])
    made = bonds.add("large", points)
    assert (made["first"], made["last"]) == (3, 1205)
    assert Batch.objects.count() == 4


def test_the_same_cell_again_answers_as_the_first_time_and_changes_nothing(bonds):
    bonds.tree()
    bonds.api.model("avg", "bonds", "mean")
    bonds.add("before")
    first = bonds.add("c", provenance={"a": 1, "b": 2})
    bonds.add("after")
    before = everything(bonds.api)
    again = bonds.post("c", provenance={"b": 2, "a": 1}, status="labeled")
    assert (again.status_code, again.json()) == (200, first)
    assert everything(bonds.api) == before


@pytest.mark.parametrize(
    "changes",
    [
        {"observations": [bond("Zr-Cu", 2.7)]},
        {"structure": STRUCTURE.replace("1.6 1.6", "1.6 1.61")},
        {"composition": "CuZr"},
        {"provenance": {}},
        {"checksums": {}},
        {"observations": [bond("Zr-Cu", 2.7, -0.0)]},
    ],
    ids=["bonds", "structure", "composition", "provenance", "checksums", "sign"],
)
def test_another_cell_under_the_same_name_is_refused(bonds, changes):
    bonds.api.model("avg", "bonds", "mean")
    bonds.add("c", [bond("Zr-Cu", 2.7, 0.0)] if changes.get("observations") else None)
    before = everything(bonds.api)
    error = refused(bonds.post("c", **changes), 409, "name", "name_taken")
    assert "observations 1 to" in error["message"]
    assert everything(bonds.api) == before


def test_the_same_name_in_another_stream_is_another_cell(bonds):
    bonds.api.stream("more", descriptor="soap")
    bonds.add("c")
    assert bonds.api.ok("/api/v1/streams/more/cells/", new_cell("c"), 201)["first"] == 1


@pytest.mark.parametrize(
    "changes, status, field",
    [
        ({"name": "a/b"}, 400, "name"),
        ({"name": None}, 400, "name"),
        ({"structure": ""}, 400, "structure"),
        ({"structure": "no number\nLattice=\n"}, 400, "structure"),
        ({"structure": "2\nLattice=\nCu 0 0 0\n"}, 400, "structure"),
        ({"structure": STRUCTURE + "Cu 0 0 0\n"}, 400, "structure"),
        ({"structure": STRUCTURE.replace("Lattice", "lattice")}, 400, "structure"),
        ({"structure": "²\nLattice=\n"}, 400, "structure"),
        ({"structure": "0\nLattice=\n"}, 400, "structure"),
        ({"structure": STRUCTURE + "\x00"}, 400, "structure"),
        ({"structure": 3}, 400, "structure"),
        ({"composition": ""}, 400, "composition"),
        ({"composition": "copper"}, 400, "composition"),
        ({"composition": "Cu50Zr50\n"}, 400, "composition"),
        ({"composition": ["Cu"]}, 400, "composition"),
        ({"provenance": []}, 400, "provenance"),
        ({"provenance": None}, 400, "provenance"),
        ({"provenance": {"a": "x" * 100_001}}, 413, "provenance"),
        ({"checksums": {"f": "ab"}}, 400, "checksums.f"),
        ({"checksums": {"f": None}}, 400, "checksums.f"),
        ({"checksums": {str(n): "ab" * 32 for n in range(1001)}}, 400, "checksums"),
        ({"descriptor": "other"}, 409, "descriptor"),
        ({"descriptor": None}, 409, "descriptor"),
        ({"descriptor": 3}, 400, "descriptor"),
        ({"status": "ok"}, 400, "status"),
        ({"status": None}, 400, "status"),
        ({"status": "failed"}, 400, "observations"),
        ({"reason": "why not"}, 400, "reason"),
        ({"observations": []}, 400, "observations"),
        ({"observations": None}, 400, "observations"),
        ({"observations": {"x": {}, "y": 1}}, 400, "observations"),
        ({"observations": [bond("Zr-Cu", 2.7), {"x": {"s0": 1.0}}]}, 400, "observations[1].y"),
        ({"observations": [bond("Zr-Cu", 2.7), bond("Zr-Cu", 2.7) | {"y": "strong"}]}, 400, "observations[1].y"),
        ({"observations": [{"x": {"bond": None}, "y": 1.0}]}, 400, "observations[0].x.bond"),
        ({"observations": [bond("Zr-Cu", 2.7) | {"weight": 1}]}, 400, "observations[0].weight"),
        ({"volume": 3}, 400, "volume"),
    ],
)
def test_a_cell_with_anything_wrong_is_refused_and_nothing_of_it_stored(bonds, changes, status, field):
    bonds.api.model("avg", "bonds", "mean")
    bonds.add("there")
    before = everything(bonds.api)
    refused(bonds.api.post(bonds.CELLS, new_cell("c") | changes), status, field)
    assert everything(bonds.api) == before


def test_what_is_nested_too_deep_or_is_too_much_is_refused(bonds, settings):
    deep: Any = {}
    for _ in range(200):
        deep = {"a": deep}
    refused(bonds.post(provenance=deep), 400, "provenance")
    refused(bonds.post(checksums=deep), 400, "checksums")
    for _ in range(100):
        deep = {"a": deep}
    assert (
        "deeper than 250 levels"
        in bonds.post(observations=[bond("Zr-Cu", 2.7) | {"source": deep}]).json()["error"]["message"]
    )
    settings.TAILRACE = settings.TAILRACE.model_copy(update={"max_points": 3})
    refused(bonds.post(), 413, "observations")
    assert not Cell.objects.exists()


def test_numbers_that_are_none_never_arrive(bonds):
    body = json.dumps(new_cell()).replace("2.7", "NaN")
    refused(bonds.api.post(bonds.CELLS, body.encode()), 400, code="not_json")
    refused(bonds.api.post(bonds.CELLS, body.replace("NaN", "1e999").encode()), 400)
    assert not Cell.objects.exists()


def test_a_stream_without_a_descriptor_takes_cells_that_name_none(bonds):
    bonds.api.stream("plain")
    path = "/api/v1/streams/plain/cells/"
    refused(bonds.api.post(path, new_cell()), 409, "descriptor")
    refused(bonds.api.post(path, new_cell(descriptor="other")), 409, "descriptor")
    made = bonds.api.ok(path, new_cell(descriptor=None), 201)
    assert (made["descriptor"], made["types"]) == (None, {"": 4})


def test_a_stream_that_is_not_there_is_not_made_by_a_cell(bonds):
    refused(bonds.api.post("/api/v1/streams/fresh/cells/", new_cell()), 404, "stream")
    refused(bonds.api.get("/api/v1/streams/fresh/cells/"), 404, "stream")
    refused(bonds.api.get(bonds.CELLS + "nothing/"), 404, "cell")
    refused(bonds.api.get(bonds.CELLS + "%00/"), 404, "cell")


def test_a_bond_that_every_model_refuses_refuses_the_cell_and_leaves_the_models_as_they_were(bonds):
    bonds.api.model("lin", "bonds")  # it can't take words
    bonds.api.ok(bonds.OBSERVATIONS, {"x": {"distance": 2.7}, "y": 2.0, "descriptor": "soap"}, 201)
    before = everything(bonds.api)
    points = [{"x": {"distance": 2.6}, "y": 2.1}, bond("Zr-Cu", 2.7)]
    refused(bonds.post("c", points), 400, "observations[1]", "refused")
    assert everything(bonds.api) == before
    assert bonds.add("c", points[:1])["first"] == 2


def test_a_model_that_fails_fails_alone_and_says_so(bonds):
    bonds.api.model("lin", "bonds")
    bonds.tree()
    made = bonds.add("c")
    assert set(made["models"]["lin"]["errors"]) == {"0", "1", "2", "3"}
    assert None not in made["models"]["tree"]["predictions"]
    assert bonds.post("c").json() == made


def test_keys_of_bonds_must_be_new(bonds):
    bonds.api.ok(bonds.OBSERVATIONS, {**bond("Zr-Cu", 2.7), "key": "k1", "descriptor": "soap"}, 201)
    before = everything(bonds.api)
    points = [bond("Zr-Cu", 2.7) | {"key": "k0"}, bond("Zr-Cu", 2.8) | {"key": "k1"}]
    refused(bonds.post("c", points), 409, "observations[1].key")
    refused(bonds.post("c", [points[0], points[0]]), 409, "observations[1].key")
    assert everything(bonds.api) == before
    assert bonds.add("c", points[:1])["first"] == 2
    assert bonds.post("c", points[:1]).status_code == 200


def test_a_failure_half_way_leaves_neither_cell_nor_bonds(bonds, monkeypatch):
    bonds.tree()
    bonds.add("there")
    before = everything(bonds.api)
    told = posting.CellAttachment.audit

    def fails(self: posting.CellAttachment) -> None:
        told(self)
        raise RuntimeError("the disk is on fire")

    monkeypatch.setattr(posting.CellAttachment, "audit", fails)
    assert bonds.post("c").status_code == 500
    assert everything(bonds.api) == before
    monkeypatch.undo()
    assert bonds.add("c")["first"] == 5


# Calculations that failed


def failed(name: str = "CuZr-1-13", reason: str = "scf.out: not converged after 80 iterations", **changes: Any) -> Any:
    cell = new_cell(name, status="failed", reason=reason, **changes)
    del cell["observations"]
    return cell


def test_a_calculation_that_failed_is_recorded_with_its_reason_and_teaches_nothing(bonds):
    bonds.api.model("avg", "bonds", "mean")
    made = bonds.api.ok(bonds.CELLS, failed(), 201)
    assert (made["status"], made["first"], made["last"], made["types"]) == ("failed", None, None, {})
    cell = bonds.api.ok(bonds.CELLS + "CuZr-1-13/")
    assert cell["reason"] == "scf.out: not converged after 80 iterations"
    assert bonds.api.ok("/api/v1/streams/bonds/")["head"] == 0
    before = everything(bonds.api)
    assert bonds.api.ok(bonds.CELLS, failed(), 200) == made
    assert everything(bonds.api) == before


def test_a_failed_calculation_gives_way_to_a_later_one_of_its_name_and_a_labeled_one_does_not(bonds):
    bonds.api.ok(bonds.CELLS, failed(), 201)
    bonds.api.ok(bonds.CELLS, failed(reason="lobster broke off"), 201)
    assert bonds.api.ok(bonds.CELLS + "CuZr-1-13/")["reason"] == "lobster broke off"
    bonds.add("CuZr-1-13")
    assert bonds.api.ok(bonds.CELLS + "CuZr-1-13/")["status"] == "labeled"
    refused(bonds.api.post(bonds.CELLS, failed()), 409, "name")
    assert Cell.objects.count() == 1
    replaced = AuditEntry.objects.filter(action="cell.create").order_by("number").last()
    assert json.loads(replaced.before)["reason"] == "lobster broke off"


@pytest.mark.parametrize(
    "body, field",
    [
        (failed(reason=""), "reason"),
        (failed(reason="  "), "reason"),
        (failed(reason="x" * 2001), "reason"),
        (failed(reason=None), "reason"),
        ({name: value for name, value in failed().items() if name != "reason"}, "reason"),
        (failed() | {"observations": []}, "observations"),
    ],
)
def test_a_failure_without_a_reason_or_with_bonds_is_refused(bonds, body, field):
    refused(bonds.api.post(bonds.CELLS, body), 400, field)
    assert not Cell.objects.exists()


def test_a_failure_may_name_no_descriptor_but_no_other(bonds):
    refused(bonds.api.post(bonds.CELLS, failed(descriptor="other")), 409, "descriptor")
    bonds.api.ok(bonds.CELLS, failed(descriptor=None), 201)


# Lists


def names(page: Any) -> list[str]:
    return [cell["name"] for cell in page["cells"]]


def test_cells_are_listed_by_name_in_pages(bonds):
    for n in (3, 1, 4, 0, 2):
        bonds.add(f"c{n}", [bond("Zr-Cu", 2.7)])
    first = bonds.api.ok(bonds.CELLS + "?limit=2")
    assert (names(first), first["next"]) == (["c0", "c1"], "c1")
    second = bonds.api.ok(bonds.CELLS + "?limit=2&after=c1")
    third = bonds.api.ok(bonds.CELLS + f"?limit=2&after={second['next']}")
    assert (names(second), names(third), third["next"]) == (["c2", "c3"], ["c4"], None)
    assert names(bonds.api.ok(bonds.CELLS + "?limit=5")) == ["c0", "c1", "c2", "c3", "c4"]
    assert bonds.api.ok(bonds.CELLS + "?limit=5")["next"] is None
    assert "structure" not in first["cells"][0]


def test_cells_are_listed_by_composition_and_status(bonds):
    bonds.add("a", composition="Cu50Zr50")
    bonds.add("b", composition="Zr49Cu49Al2")
    bonds.api.ok(bonds.CELLS, failed("c", composition="Zr49Cu49Al2"))
    assert names(bonds.api.ok(bonds.CELLS + "?composition=Zr49Cu49Al2")) == ["b", "c"]
    assert names(bonds.api.ok(bonds.CELLS + "?composition=Zr49Cu49Al2&status=failed")) == ["c"]
    assert names(bonds.api.ok(bonds.CELLS + "?composition=Al")) == []
    refused(bonds.api.get(bonds.CELLS + "?status=unknown"), 400, "status")
    refused(bonds.api.get(bonds.CELLS + "?limit=0"), 400, "limit")
    refused(bonds.api.get(bonds.CELLS + "?composition=%00"), 400, "composition")
    refused(bonds.api.get(bonds.CELLS + "?element=Cu"), 400, "element")


# Who

CELLS = "/api/v1/streams/bonds/cells/"


def who(*scopes: str) -> dict[str, str]:
    return bearer(secret_of(person(), scopes))


def test_a_cell_is_in_the_audit_trail_under_the_name_of_who_posted_it(required, api):
    descriptors.create("soap", DEFINITION)
    streams.create("bonds", target_kind="number", descriptor="soap")
    models.create("m", "bonds", "regression", linear_model.LinearRegression())
    response = api.post(CELLS, new_cell(observations=[{"x": {"s0": 1.0}, "y": 2.0}] * 4), **who("learn"))
    assert response.status_code == 201
    assert (response.json()["created_by"], response.json()["models"]) == ("ada", {})
    entry = AuditEntry.objects.get(action="cell.create")
    assert (entry.username, entry.target) == ("ada", "bonds/CuZr-1-00")
    assert json.loads(entry.after)["last"] == 4


def test_it_is_under_that_name_also_where_the_thread_of_another_request_stores_it(rf, api):
    cell = posting.checked({**new_cell(), "descriptor": None})
    cell.stream, cell.types = streams.create("bonds"), "{}"
    ours, theirs = rf.post(CELLS), rf.post(CELLS)
    ours.caller = SimpleNamespace(user_id=1, username="ada", token_id=None)
    theirs.caller = SimpleNamespace(user_id=2, username="eve", token_id=None)
    current_request.request.set(ours)
    keeper = posting.CellAttachment(cell)
    current_request.request.set(theirs)
    try:
        with transaction_for_writing():
            keeper.assign([1])
            keeper.store()
            keeper.audit()
    finally:
        current_request.request.set(None)
    assert AuditEntry.objects.get(action="cell.create").username == "ada"
