"""Compositions and settings of campaigns: what is the same is found as the same, and what is wrong is refused by name."""

import pytest

from server.campaigns import formulas
from server.core.errors import Invalid
from tests.api_client import refused
from tests.campaigns.loop import CAMPAIGNS, TARGETS

pytestmark = pytest.mark.one_database


def test_a_formula_is_the_same_on_any_scale_and_in_any_order():
    keys = {formulas.parse(one).key for one in ("Zr49Cu49Al2", "Cu49Zr49Al2", "Al0.02Cu0.49Zr0.49", "Zr98Al4Cu98")}
    assert keys == {"Al2Cu49Zr49"}
    assert formulas.parse("CuZr2").key == "Cu33.3333Zr66.6667"
    for wrong in ("", "cu50zr50", "Cu50Xx50", "Cu50Cu50", "Cu0Zr50", "Cu50 Zr50", "Cu-50", "Cu1e3", None, 5):
        with pytest.raises(Invalid):
            formulas.parse(wrong)


def test_a_composition_is_found_by_every_way_to_write_it(loop):
    api, path = loop.api, "/api/v1/compositions/"
    made = api.ok(path, {"name": "Zr49Cu49Al2", "aliases": ["Al2Cu49Zr49"], "notes": "of the paper"}, 201)
    assert (made["key"], made["aliases"]) == ("Al2Cu49Zr49", ["Al2Cu49Zr49"])
    again = api.ok(path, {"name": "Cu49Zr49Al2"}, 200)
    assert (again["name"], again["notes"], again["aliases"]) == (
        "Zr49Cu49Al2",
        "of the paper",
        ["Al2Cu49Zr49", "Cu49Zr49Al2"],
    )
    assert api.ok(f"{path}Cu0.49Zr0.49Al0.02/")["name"] == "Zr49Cu49Al2"
    refused(api.post(path, {"name": "CuZr", "aliases": ["Cu64Zr36"]}), 400, "aliases[0]")
    changed = api.patch(f"{path}Zr49Cu49Al2/", {"aliases": [], "notes": ""}).json()
    assert (changed["aliases"], changed["notes"]) == ([], "")
    assert api.delete(f"{path}Cu49Zr49Al2/").status_code == 204
    refused(api.get(f"{path}Zr49Cu49Al2/"), 404)


def test_what_a_campaign_names_is_checked_when_it_is_created(loop):
    loop.api.stream("plain")
    loop.api.ok("/api/v1/models/", {"name": "other", "stream": "plain", "recipe": "mean"}, 201)
    right = {"name": "g", "stream": "bonds", "models": ["tree"], "compositions": ["Cu50Zr50"], "targets": TARGETS}
    wrong = [
        ({"stream": "none"}, 404, "stream"),
        ({"stream": "plain"}, 409, "stream"),
        ({"models": ["none"]}, 404, "model"),
        ({"models": ["other"]}, 400, "models[0]"),
        ({"models": ["tree", "tree"]}, 400, "models"),
        ({"compositions": ["Cu64Zr36"]}, 404, "compositions[0]"),
        ({"compositions": ["Cu50Zr50", "ZrCu"]}, 400, "compositions[1]"),
        ({"targets": {"Zr-Al": 0.1}}, 400, "targets.Zr-Al"),
        ({"targets": {"Cu-Zr": 0.1}}, 400, "targets.Cu-Zr"),
        ({"targets": {"Zr-Cu": 0}}, 400, "targets.Zr-Cu"),
        ({"budget": {"hours": 1}}, 400, "budget.hours"),
        ({"budget": {"calculations": 1.5}}, 400, "budget.calculations"),
        ({"thresholds": {"coverage": 1.1}}, 400, "thresholds.coverage"),
        ({"thresholds": {"batch": 0}}, 400, "thresholds.batch"),
        ({"clusters": ["none"]}, 404, "cluster"),
        ({"programs": {"explore": {"program": "vasp"}}}, 404, "program"),
        ({"programs": {"melt": {}}}, 400, "programs.melt"),
        ({"policy": "familes"}, 400, "policy"),
        ({"approval": "never"}, 400, "approval"),
        ({"name": "a b"}, 400, "name"),
    ]  # fmt: skip
    for changes, status, field in wrong:
        refused(loop.api.post(CAMPAIGNS, right | changes), status, field)
    assert loop.api.ok(CAMPAIGNS)["campaigns"] == []
    loop.create("g")
    refused(loop.api.post(CAMPAIGNS, right), 409, "name", "name_taken")
    refused(loop.api.delete(f"{CAMPAIGNS}g/"), 409, code="in_use")
    loop.ok("stop", name="g")
    assert loop.api.delete(f"{CAMPAIGNS}g/").status_code == 204
