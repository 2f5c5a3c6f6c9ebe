"""Databases of interactions: named, versioned, reproducible selections of the log."""

import hashlib
import json
import os
import subprocess
import sys
from collections import Counter
from typing import Any

import pytest

from server.accounts.models import AuditEntry
from server.cells.models import Database
from server.streams.points import BATCH_POINTS
from tests.api_client import refused
from tests.cell_examples import bond, everything
from tests.serving import ROOT

pytestmark = pytest.mark.django_db(transaction=True)

DATABASES = "/api/v1/databases/"


@pytest.fixture
def glasses(bonds: Any) -> Any:
    """Six cells of two compositions, with a failed one and a point without a cell in between."""
    for n in range(6):
        composition = "Zr49Cu49Al2" if n % 2 else "Cu50Zr50"
        kinds = ("Zr-Cu", "Cu-Cu", "Zr-Al") if n % 2 else ("Zr-Cu", "Cu-Cu", "Zr-Zr")
        points = [bond(kinds[k % 3], 2.5 + 0.01 * k + 0.001 * n) for k in range(30)]
        bonds.add(f"{composition}-1-0{n}", points, composition=composition)
        if n == 2:
            bonds.api.ok(bonds.OBSERVATIONS, {**bond("Zr-Cu", 9.0), "descriptor": "soap"}, 201)
    return bonds


def define(glasses: Any, name: str = "dbi", status: int = 201, **fields: Any) -> Any:
    return glasses.api.ok(DATABASES, {"name": name, "stream": "bonds", **fields}, status)


def content(glasses: Any, name: str = "dbi") -> bytes:
    response = glasses.api.get(f"{DATABASES}{name}/observations/")
    assert response.status_code == 200
    assert response.headers["Content-Type"].startswith("application/x-ndjson")
    return b"".join(response.streaming_content)


def lines(glasses: Any, name: str = "dbi") -> list[Any]:
    return [json.loads(line) for line in content(glasses, name).splitlines()]


def test_it_holds_all_bonds_of_all_cells_unless_it_says_otherwise(glasses):
    made = define(glasses)
    assert made == glasses.api.ok(DATABASES + "dbi/")
    assert made["until"] == 181
    assert (made["counts"]["observations"], made["counts"]["types"]["Zr-Cu"]) == (180, 60)
    assert made["counts"]["compositions"]["Zr-Al"] == {"Zr49Cu49Al2": 30}
    found = lines(glasses)
    log = {one["seq"]: one for one in glasses.api.ok(glasses.OBSERVATIONS + "?limit=1000")["observations"]}
    assert [one["seq"] for one in found] == [seq for seq in log if seq != 91]
    assert all((one["x"], one["y"]) == (log[one["seq"]]["x"], log[one["seq"]]["y"]) for one in found)
    assert (found[0]["cell"], found[-1]["composition"]) == ("Cu50Zr50-1-00", "Zr49Cu49Al2")


def test_its_fingerprint_is_the_checksum_of_what_is_read(glasses):
    made = define(glasses, types={"Zr-Cu": 7, "Cu-Cu": None})
    assert hashlib.sha256(content(glasses)).hexdigest() == made["fingerprint"]


@pytest.mark.parametrize(
    "fields, cells",
    [
        ({"compositions": ["Cu50Zr50"]}, {0, 2, 4}),
        ({"compositions": ["Cu50Zr50", "Zr49Cu49Al2"]}, {0, 1, 2, 3, 4, 5}),
        ({"cells": ["*-0[0-2]"]}, {0, 1, 2}),
        ({"cells": ["Cu*-00", "*-05"]}, {0, 5}),
        ({"cells": ["*-0?"], "compositions": ["Zr49Cu49Al2"]}, {1, 3, 5}),
        ({"until": 60}, {0, 1}),
        ({"until": 61}, {0, 1, 2}),
    ],
)
def test_it_holds_only_the_cells_that_are_asked_for(glasses, fields, cells):
    define(glasses, **fields)
    assert {int(one["cell"][-1]) for one in lines(glasses)} == cells
    if "until" in fields:
        assert max(one["seq"] for one in lines(glasses)) == fields["until"]


def test_it_holds_as_many_of_each_type_as_are_asked_for_across_compositions(glasses):
    made = define(glasses, types={"Zr-Cu": 20, "Zr-Al": 5, "Cu-Cu": None, "Zr-Zr": 1000})
    found = Counter(one["x"]["bond"] for one in lines(glasses))
    assert found == {"Zr-Cu": 20, "Zr-Al": 5, "Cu-Cu": 60, "Zr-Zr": 30} == made["counts"]["types"]
    of = made["counts"]["compositions"]["Zr-Cu"]
    assert sum(of.values()) == 20
    assert min(of.values()) > 3  # both had as good a chance


def test_fewer_of_a_type_are_among_those_of_more_and_another_seed_chooses_others(glasses):
    for name, fields in {
        "few": {"types": {"Zr-Cu": 10}},
        "more": {"types": {"Zr-Cu": 20}},
        "other": {"types": {"Zr-Cu": 10}, "seed": 1},
    }.items():
        define(glasses, name, **fields)
    few, more, other = ({one["seq"] for one in lines(glasses, name)} for name in ("few", "more", "other"))
    assert few < more
    assert few != other


def test_which_bonds_are_chosen_is_written_down(glasses):
    """The lots by the definition in the documentation, worked out beside the server's own code."""
    define(glasses, types={"Zr-Cu": 12}, seed=7)
    cells = glasses.api.ok(glasses.CELLS)["cells"]
    log = {one["seq"]: one["x"]["bond"] for one in glasses.api.ok(glasses.OBSERVATIONS + "?limit=1000")["observations"]}
    lots = []
    for cell in cells:
        for index, seq in enumerate(range(cell["first"], cell["last"] + 1)):
            if log[seq] == "Zr-Cu":
                lots.append((hashlib.sha256(f"7\0{cell['name']}\0{index}".encode()).hexdigest(), seq))
    assert [one["seq"] for one in lines(glasses)] == sorted(seq for _, seq in sorted(lots)[:12])


def test_what_the_log_gets_later_changes_nothing_of_it(glasses):
    before = define(glasses, types={"Zr-Cu": 20}), content(glasses)
    glasses.add("later", [bond("Zr-Cu", 3.0)] * 50)
    assert (glasses.api.ok(DATABASES + "dbi/"), content(glasses)) == before
    assert define(glasses, types={"Zr-Cu": 20}, status=200) == before[0]


def test_retracted_points_are_left_out_and_a_later_retraction_makes_it_no_other(glasses):
    glasses.api.ok(glasses.OBSERVATIONS + "5/retract/", {"reason": "wrong label"}, 202)
    made = define(glasses)
    before = content(glasses)
    assert 5 not in {one["seq"] for one in lines(glasses)}
    glasses.api.ok(glasses.OBSERVATIONS + "6/retract/", {"reason": "wrong label"}, 202)
    assert content(glasses) == before
    assert glasses.api.ok(DATABASES + "dbi/") == made
    define(glasses, "anew")
    assert {5, 6}.isdisjoint(one["seq"] for one in lines(glasses, "anew"))


def test_a_retraction_passes_the_place_on_to_the_next_lot(glasses):
    define(glasses, types={"Zr-Cu": 10})
    chosen = [one["seq"] for one in lines(glasses)]
    glasses.api.ok(f"{glasses.OBSERVATIONS}{chosen[3]}/retract/", {"reason": "wrong label"}, 202)
    define(glasses, "anew", types={"Zr-Cu": 10})
    anew = [one["seq"] for one in lines(glasses, "anew")]
    assert len(anew) == 10
    assert set(chosen) - set(anew) == {chosen[3]}


def test_the_same_definition_gives_the_same_bytes_in_every_process(glasses):
    """Other processes, with other hash seeds, select from the same candidates."""
    define(glasses, types={"Zr-Cu": 15, "Cu-Cu": 9}, seed=3)
    expected = [one["seq"] for one in lines(glasses)]
    candidates = [
        [
            cell["name"],
            cell["composition"],
            cell["first"],
            list(range(cell["first"], cell["last"] + 1)),
            kinds,
            cell["family"],
        ]
        for cell in glasses.api.ok(glasses.CELLS)["cells"]
        for kinds in [
            [
                one["x"]["bond"]
                for one in glasses.api.ok(f"{glasses.OBSERVATIONS}?after={cell['first'] - 1}&limit=30")["observations"]
            ]
        ]
    ]
    code = (
        "import json, sys, django; django.setup()\n"
        "from server.cells import selection as s\n"
        "s.candidates = lambda *_: [s.Bonds(*one) for one in json.load(sys.stdin)]\n"
        "found = s.select(0, s.Definition(None, None, {'Zr-Cu': 15, 'Cu-Cu': 9}, 3), 10**6, 0)\n"
        "print(json.dumps([one.number for one in found]))\n"
    )
    for seed in ("0", "1", "17"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "DJANGO_SETTINGS_MODULE": "server.settings"}
        done = subprocess.run(
            [sys.executable, "-c", code],
            input=json.dumps(candidates), capture_output=True, text=True, env=environment, cwd=ROOT, check=True,
        )  # fmt: skip
        assert json.loads(done.stdout) == expected


def test_two_streams_with_the_same_cells_in_another_order_give_the_same_bonds(glasses):
    """What is chosen depends on the cells' names and contents, not on what came in between."""
    glasses.api.stream("more", target={"name": "-ICOHP", "unit": "eV"}, segment="bond", descriptor="soap")
    for cell in reversed(glasses.api.ok(glasses.CELLS)["cells"]):
        full = glasses.api.ok(f"{glasses.CELLS}{cell['name']}/")
        points = glasses.api.ok(f"{glasses.OBSERVATIONS}?after={cell['first'] - 1}&limit=30")["observations"]
        body = {name: full[name] for name in ("name", "structure", "composition", "descriptor")}
        body["observations"] = [{"x": one["x"], "y": one["y"]} for one in points]
        glasses.api.ok("/api/v1/streams/more/cells/", body, 201)
    fields = {"types": {"Zr-Cu": 15, "Zr-Zr": None}, "seed": 2}
    define(glasses, "here", **fields)
    define(glasses, "there", **fields, stream="more")
    here, there = (
        sorted((one["cell"], json.dumps(one["x"]), one["y"]) for one in lines(glasses, name))
        for name in ("here", "there")
    )
    assert here == there


def test_one_that_reaches_over_many_batches_is_read_whole(glasses):
    points = [bond("Zr-Cu", 2.5 + k / 10_000) for k in range(1500)]
    glasses.add("large-1", points)
    glasses.add("large-2", points)
    define(glasses, cells=["large-*"], types={"Zr-Cu": 40})
    assert BATCH_POINTS < 1500
    found = lines(glasses)
    assert len(found) == 40
    assert {one["cell"] for one in found} == {"large-1", "large-2"}
    for one in found:
        first = glasses.api.ok(f"{glasses.CELLS}{one['cell']}/")["first"]
        assert one["x"] == points[one["seq"] - first]["x"]


def test_another_definition_under_the_same_name_is_refused(glasses):
    define(glasses, compositions=["Cu50Zr50"], until=100)
    before = everything(glasses.api)
    for fields in ({}, {"compositions": ["Cu50Zr50"]}, {"compositions": ["Cu50Zr50"], "until": 100, "seed": 1}):
        refused(glasses.api.post(DATABASES, {"name": "dbi", "stream": "bonds", **fields}), 409, "name", "name_taken")
    assert everything(glasses.api) == before


@pytest.mark.one_database
@pytest.mark.parametrize(
    "fields, status, field",
    [
        ({"name": "a b"}, 400, "name"),
        ({"name": None}, 400, "name"),
        ({"stream": "nothing"}, 404, "stream"),
        ({"stream": None}, 400, "stream"),
        ({"stream": "plain", "types": {"Zr-Cu": 1}}, 400, "types"),
        ({"compositions": "Cu50Zr50"}, 400, "compositions"),
        ({"compositions": []}, 400, "compositions"),
        ({"compositions": ["x"] * 1001}, 400, "compositions"),
        ({"compositions": [3]}, 400, "compositions[0]"),
        ({"cells": {}}, 400, "cells"),
        ({"cells": ["*", "\x00"]}, 400, "cells[1]"),
        ({"types": []}, 400, "types"),
        ({"types": {}}, 400, "types"),
        ({"types": {"Zr-Cu": 0}}, 400, "types.Zr-Cu"),
        ({"types": {"Zr-Cu": 1.5}}, 400, "types.Zr-Cu"),
        ({"types": {"Zr-Cu": True}}, 400, "types.Zr-Cu"),
        ({"types": {"Zr-Cu": 2**63}}, 400, "types.Zr-Cu"),
        ({"seed": -1}, 400, "seed"),
        ({"seed": None}, 400, "seed"),
        ({"seed": 1.5}, 400, "seed"),
        ({"until": 182}, 400, "until"),
        ({"until": -1}, 400, "until"),
        ({"until": "181"}, 400, "until"),
        ({"size": 3}, 400, "size"),
        ({"until": 0}, 400, None),
        ({"compositions": ["Fe"]}, 400, None),
        ({"types": {"Fe-Fe": 3}}, 400, None),
        ({"cells": ["[", "**"], "compositions": ["Fe"]}, 400, None),
    ],
)
def test_what_selects_nothing_or_cannot_be_is_refused(glasses, fields, status, field):
    glasses.api.stream("plain")
    before = everything(glasses.api)
    refused(glasses.api.post(DATABASES, {"name": "dbi", "stream": "bonds", **fields}), status, field)
    assert everything(glasses.api) == before


def test_one_that_is_not_there_is_said_to_be_missing(api):
    for path in ("nothing/", "nothing/observations/", "%00/"):
        refused(api.get(DATABASES + path), 404, "database")


def test_databases_are_listed_by_name_and_stream(glasses):
    glasses.api.stream("more", descriptor="soap", segment="bond")
    define(glasses, "b")
    define(glasses, "a", seed=1)
    assert [one["name"] for one in glasses.api.ok(DATABASES)["databases"]] == ["a", "b"]
    assert glasses.api.ok(DATABASES + "?stream=more") == {"databases": []}
    refused(glasses.api.get(DATABASES + "?stream=nothing"), 404, "stream")
    refused(glasses.api.get(DATABASES + "?after=a"), 400, "after")


def test_a_database_is_in_the_audit_trail_once(glasses):
    made = define(glasses, seed=4)
    define(glasses, seed=4, status=200)
    entry = AuditEntry.objects.get(action="database.create")
    told = json.loads(entry.after)
    assert (entry.target, told["seed"], told["until"], told["fingerprint"]) == ("dbi", 4, 181, made["fingerprint"])
    assert Database.objects.count() == 1
