"""The pages of cells, without scripts."""

import csv
import io
import json

import pytest
from django.contrib.auth.models import User

from server.cells.models import Cell
from server.learning.background import record_writer
from server.streams.models import Stream
from tests.api_client import Api
from tests.cell_examples import STRUCTURE, Bonds, bond
from tests.dashboard.browser import Browser, Page

pytestmark = pytest.mark.django_db

DEFINED = "/streams/bonds/cells/"
SIDE = 3.2
LENGTH = 3**0.5 * SIDE / 2
"""Of the Zr-Cu bonds of the small structure, of which there are eight."""


@pytest.fixture(autouse=True)
def _nothing_known():
    record_writer._known.clear()
    record_writer._failed.clear()


def recorded() -> None:
    while record_writer.record_due():
        pass


@pytest.fixture
def bonds(api: Api) -> Bonds:
    """Three cells of two compositions and a failed one, which a model has learned and its record has."""
    found = Bonds(api)
    found.tree()
    for number in range(2):
        found.add(
            f"CuZr-{number}-00",
            [bond("Zr-Cu", LENGTH, 1.0 + number), bond("Zr-Zr", SIDE, 0.5), bond("Cu-Cu", SIDE, 0.3)],
        )
    found.add("CuZr-9-00", [bond("Zr-Cu", LENGTH, 40.0), bond("Zr-Cu", 2.5, 1.0)], composition="Cu20Zr80")
    api.ok(
        found.CELLS,
        {
            "name": "gone-1",
            "status": "failed",
            "reason": "never converged",
            "structure": STRUCTURE,
            "composition": "Cu50Zr50",
        },
        201,
    )
    recorded()
    return found


@pytest.fixture
def page(bonds: Bonds, browser: Browser):
    def get(path: str = DEFINED) -> Page:
        return browser.get(path)

    return get


def rows(page: Page, caption: str) -> list[list[str]]:
    table = next(one for one in page.html.select("table") if caption in one.find("caption").get_text())
    return [[" ".join(cell.get_text(" ").split()) for cell in row.select("th, td")] for row in table.select("tbody tr")]


def test_it_shows_errors_by_composition_and_type(page):
    shown = page()
    assert shown.status == 200
    table = rows(shown, "Error by composition")
    assert [row[:4] for row in table] == [["Cu50Zr50", "2", "1", "6"], ["Cu20Zr80", "1", "0", "2"]]
    heads = [head.get_text() for head in shown.html.select("#compositions-title ~ .scrolls thead th")]
    assert heads[:5] == ["Composition", "Cells", "Failed", "Bonds", "All types"]
    assert set(heads[5:]) == {"Zr-Cu", "Zr-Zr", "Cu-Cu"}
    at = heads.index("Zr-Cu")
    assert table[1][at].endswith("(2)")
    assert table[1][heads.index("Zr-Zr")] == "–"


def test_it_lists_the_cells_the_newest_first(page):
    table = rows(page(), "Cells")
    assert [row[0] for row in table] == ["gone-1 failed never converged", "CuZr-9-00", "CuZr-1-00", "CuZr-0-00"]
    assert table[1][2:5] == ["2", "2", "tblite, GFN1-xTB"]
    assert float(table[1][6]) < -30, "the bond of 40 eV was not expected"


@pytest.mark.parametrize(
    "query, names",
    [
        ("q=zr-9", ["CuZr-9-00"]),
        ("q=Cu20", ["CuZr-9-00"]),
        ("composition=Cu20Zr80", ["CuZr-9-00"]),
        ("status=failed", ["gone-1 failed never converged"]),
        ("sort=name&status=labeled", ["CuZr-0-00", "CuZr-1-00", "CuZr-9-00"]),
        ("sort=bonds&status=labeled", ["CuZr-0-00", "CuZr-1-00", "CuZr-9-00"]),
        ("sort=worst&q=CuZr-9", ["CuZr-9-00"]),
        ("q=nothing", ["No cell matches."]),
        ("q=%00", ["No cell matches."]),
        ("composition=%3Cb%3E", ["No cell matches."]),
        ("page=99&sort=name&q=gone", ["gone-1 failed never converged"]),
    ],
)
def test_it_searches_and_sorts_by_its_address(page, query, names):
    shown = page(f"{DEFINED}?{query}")
    assert shown.status == 200
    assert [row[0] for row in rows(shown, "Cells")] == names


def test_the_cell_with_the_largest_residual_comes_first(page):
    assert rows(page(f"{DEFINED}?sort=worst"), "Cells")[0][0] == "CuZr-9-00"


def test_it_has_pages(bonds, browser, monkeypatch):
    monkeypatch.setattr("server.dashboard.cell_table.PAGE", 3)
    first = browser.get(f"{DEFINED}?sort=name")
    assert [row[0] for row in rows(first, "Cells")] == ["CuZr-0-00", "CuZr-1-00", "CuZr-9-00"]
    further = next(link for link in first.links() if "page=2" in link)
    assert "sort=name" in further
    second = browser.get(DEFINED + further.partition("#")[0])
    assert [row[0] for row in rows(second, "Cells")] == ["gone-1 failed never converged"]


def test_a_composition_is_shown_by_type(page):
    shown = page(f"{DEFINED}?composition=Cu20Zr80")
    table = rows(shown, "Errors of Cu20Zr80")
    assert [row[:2] for row in table] == [["all types", "2"], ["Zr-Cu", "2"]]


def test_coverage_is_computed_when_it_is_asked_for(page):
    assert "Coverage" in page().text
    shown = page(f"{DEFINED}?show=coverage")
    table = rows(shown, "Coverage by composition")
    assert [row[0] for row in table] == ["Cu20Zr80", "Cu50Zr50"]
    part = page("/streams/bonds/cell-coverage/?model=tree")
    assert part.status == 200
    assert "Cu20Zr80" in part.html.get_text()


def test_coverage_of_a_database_is_that_of_the_api(bonds, browser):
    bonds.api.ok("/api/v1/databases/", {"name": "all", "stream": "bonds"}, 201)
    row = bonds.api.ok("/api/v1/models/tree/coverage/?database=all")["types"]["Zr-Cu"]["compositions"]["Cu20Zr80"]
    shown = browser.get(f"{DEFINED}?show=coverage&database=all")
    heads = [head.get_text() for head in shown.html.select("#coverage thead th")]
    own = next(one for one in rows(shown, "Coverage by composition") if one[0] == "Cu20Zr80")
    assert own[heads.index("Zr-Cu")] == f"{100 * row['covered']:.3g} % ({row['tested']})"


@pytest.mark.one_database
@pytest.mark.parametrize(
    "query, field",
    [
        ("sort=size", "sort is 'size'"),
        ("order=x", "order is 'x'"),
        ("status=done", "status is 'done'"),
        ("page=0", "page is '0'"),
        ("page=first", "page is 'first'"),
        ("model=nobody", "model is 'nobody': expected a regression model of this stream (tree)"),
        ("model=%00", "model is"),
        ("show=coverage&database=none", "database is 'none'"),
    ],
)
def test_a_wrong_address_is_refused_by_name(page, query, field):
    shown = page(f"{DEFINED}?{query}")
    assert shown.status == 400
    assert field in shown.text.lower()


def test_a_stream_without_cells_or_models_says_so(api, browser):
    api.stream("empty")
    shown = browser.get("/streams/empty/cells/")
    assert shown.status == 200
    assert "This stream has no cells" in shown.text
    assert "no regression model" in shown.text
    assert browser.get("/streams/nobody/cells/").status == 404


# One cell


def test_a_cell_shows_its_bonds_with_their_atoms(page):
    shown = page(f"{DEFINED}CuZr-1-00/")
    assert shown.status == 200
    table = rows(shown, "Bonds of")
    assert [row[2] for row in table] == ["Zr-Cu", "Zr-Zr", "Cu-Cu"]
    assert table[0][0] == "4"
    assert table[0][1].startswith("Cu1–Zr2"), "the first of eight that are as long"
    assert "one of several" in table[0][1]
    assert table[1][1].startswith("Zr2–Zr2 (")
    assert table[0][4] == "2"
    assert table[0][5] != "–", "what the model predicted before it learned the bond"
    atoms = rows(shown, "Atoms of")
    assert [row[:3] for row in atoms] == [["1", "Cu", "0.00, 0.00, 0.00"], ["2", "Zr", "1.60, 1.60, 1.60"]]
    assert atoms[0][3] == "3", "a bond with its own image counts twice"


def test_a_cell_has_a_picture_and_a_legend_with_units(page):
    shown = page(f"{DEFINED}CuZr-1-00/?by=residual")
    picture = shown.html.select_one("svg.cell-picture.signed")
    assert "residual, prediction minus -ICOHP (eV)" in picture["aria-label"]
    assert len(picture.select("circle.atom")) == 2
    assert picture.select("path.bond")
    assert "Residual, prediction minus -ICOHP (eV)" in shown.text
    assert len(shown.html.select("[data-legend] li")) == 8


@pytest.mark.one_database
@pytest.mark.parametrize("by", ["strength", "prediction", "residual", "uncertainty"])
@pytest.mark.parametrize("view", ["x", "y", "z"])
def test_every_color_and_view_can_be_had(page, by, view):
    assert page(f"{DEFINED}CuZr-0-00/?by={by}&view={view}").status == 200


def test_a_selected_bond_is_marked_and_described(page):
    shown = page(f"{DEFINED}CuZr-9-00/?bond=7")
    assert [row["id"] for row in shown.html.select("tr.chosen")] == ["bond-7"]
    assert shown.html.select("svg path.chosen")
    near = rows(shown, "Nearest learned bonds")
    assert [row[1] for row in near] == ["CuZr-0-00", "CuZr-1-00"]
    assert near[0][3] == "1"
    assert "learned before this one" in shown.text
    part = page(f"{DEFINED}CuZr-9-00/bonds/7/")
    assert part.status == 200
    assert "CuZr-1-00" in part.html.get_text()


def test_a_selected_atom_marks_its_bonds(page):
    shown = page(f"{DEFINED}CuZr-1-00/?atom=2")
    assert [row["id"] for row in shown.html.select("tr.chosen")] == ["bond-4", "bond-5", "atom-2"]
    assert shown.html.select("svg circle.chosen")


def test_bonds_are_sorted_by_their_residual(page):
    table = rows(page(f"{DEFINED}CuZr-9-00/?sort=residual"), "Bonds of")
    assert [row[0] for row in table] == ["7", "8"]
    assert abs(float(table[0][6])) > abs(float(table[1][6]))


def test_later_bonds_have_no_value_at_a_moment_of_the_record(page):
    table = rows(page(f"{DEFINED}CuZr-1-00/?n=4&by=residual"), "Bonds of")
    assert table[0][5] != "–"
    assert [row[5:] for row in table[1:]] == [["–", "–", "–"]] * 2


def test_a_former_state_predicts_all_bonds(bonds, browser):
    shown = browser.get(f"{DEFINED}CuZr-9-00/?at=6&by=prediction&bond=7")
    assert shown.status == 200
    assert "as of observation 6" in shown.text
    then = bonds.api.ok("/api/v1/models/tree/?at=6")
    assert then["at"] == 6
    table = rows(shown, "Bonds of")
    record = rows(browser.get(f"{DEFINED}CuZr-9-00/"), "Bonds of")
    assert table[0][5] == record[0][5], "the first bond was predicted by just that state"
    assert "up to observation 6" in shown.text
    now = rows(browser.get(f"{DEFINED}CuZr-9-00/?at=8"), "Bonds of")
    assert now[0][5] != record[0][5]


def test_a_state_far_from_a_stored_one_is_refused(bonds, browser, monkeypatch):
    monkeypatch.setattr("server.cells.moments.MOST_REPLAYED", 2)
    shown = browser.get(f"{DEFINED}CuZr-9-00/?at=5")
    assert shown.status == 400
    assert "Choose 0 to 2" in shown.text
    moments = [int(one["value"]) for one in browser.get(f"{DEFINED}CuZr-9-00/").html.select("#at option")]
    assert moments == [0, 8]


def test_the_data_of_the_3d_view_belongs_together(page):
    data = json.loads(page(f"{DEFINED}CuZr-1-00/data/?by=residual").response.content)
    assert data["first"] == 4
    assert len(data["strength"]) == len(data["scene"]["sticks"]) == len(data["residual"]) == 3
    assert [len(one) for one in data["scene"]["sticks"]] == [1, 2, 2], "two halves where the cell's edge is crossed"
    assert data["scene"]["elements"] == ["Cu", "Zr"]
    assert {by: len(edges) for by, edges in data["edges"].items()} == {
        "strength": 6,
        "prediction": 6,
        "residual": 6,
        "uncertainty": 0,
    }
    moment = json.loads(page(f"{DEFINED}CuZr-1-00/data/?at=6&only=values").response.content)
    assert moment["at"] == 6
    assert "scene" not in moment


def test_a_cell_is_downloaded_as_it_was_posted_and_as_a_table(page):
    got = page(f"{DEFINED}CuZr-1-00/download/?format=xyz").response
    assert got.content.decode() == STRUCTURE
    assert got.headers["Content-Disposition"] == 'attachment; filename="CuZr-1-00.xyz"'
    table = page(f"{DEFINED}CuZr-1-00/download/?format=csv").response
    lines = list(csv.reader(io.StringIO(b"".join(table.streaming_content).decode())))
    assert lines[0][:5] == ["observation", "type", "atom 1", "atom 2", "a"]
    assert [line[0] for line in lines[1:]] == ["4", "5", "6"]
    assert lines[1][7] == str(LENGTH)
    assert lines[1][9] != ""


def test_a_retracted_bond_is_marked_and_nobody_is_its_neighbour(bonds, browser):
    bonds.api.ok(f"{bonds.OBSERVATIONS}1/retract/", {"reason": "wrong"})
    assert "retracted" in rows(browser.get(f"{DEFINED}CuZr-0-00/?bond=1"), "Bonds of")[0][0]
    near = rows(browser.get(f"{DEFINED}CuZr-9-00/?bond=7"), "Nearest learned bonds")
    assert [row[1] for row in near] == ["CuZr-1-00"]


def test_a_large_cell_is_shown_in_parts(bonds, browser, monkeypatch):
    for module in ("cells.cell_bonds", "dashboard.shown_cell", "dashboard.cell_rows", "dashboard.cell_table"):
        monkeypatch.setattr(f"server.{module}.MOST_BONDS", 2)
    shown = browser.get(f"{DEFINED}CuZr-1-00/")
    assert "This cell has 3 bonds, and a page shows 2 of them: observations 4 to 5, part 1 of 2" in shown.text
    assert [row[0] for row in rows(browser.get(f"{DEFINED}CuZr-1-00/?part=2"), "Bonds of")] == ["6"]
    refused = browser.get(f"{DEFINED}CuZr-1-00/?part=3")
    assert (refused.status, "part is '3': expected a whole number from 1 to" in refused.text.lower()) == (400, True)
    refused = browser.get(f"{DEFINED}CuZr-1-00/?bond=6")
    assert (refused.status, "expected an observation from 4 to 5" in refused.text) == (400, True)
    table = browser.get(f"{DEFINED}CuZr-1-00/download/?format=csv").response
    assert len(b"".join(table.streaming_content).splitlines()) == 4


@pytest.mark.one_database
@pytest.mark.parametrize(
    "query, said",
    [
        ("by=size", "by is 'size'"),
        ("view=w", "view is 'w'"),
        ("n=3x", "n is '3x'"),
        ("n=2", "n is 2: expected an observation from 3 to 6"),
        ("n=4&at=4", "n and at are both given"),
        ("at=9", "at is 9: expected an observation from 0 to 8"),
        ("bond=1", "bond is 1: expected an observation from 4 to 6"),
        ("atom=3", "atom is 3: expected 1 to 2"),
        ("model=other", "model is 'other'"),
        ("sort=size", "sort is 'size'"),
    ],
)
def test_a_wrong_address_of_a_cell_is_refused_by_name(page, query, said):
    shown = page(f"{DEFINED}CuZr-1-00/?{query}")
    assert shown.status == 400
    assert said in shown.text.lower()


@pytest.mark.parametrize("what", ["", "data/", "download/", "bonds/1/"])
def test_a_cell_that_is_not_there_is_not_found(page, what):
    for name in ("nobody", "%3Cb%3E", "%00"):
        assert page(f"{DEFINED}{name}/{what}").status == 404
    assert page(f"/streams/nobody/cells/CuZr-1-00/{what}").status == 404


def test_a_cell_that_was_deleted_with_its_stream_is_not_found(bonds, browser):
    assert browser.get(f"{DEFINED}CuZr-1-00/").status == 200
    Cell.objects.all().delete()
    shown = browser.get(f"{DEFINED}CuZr-1-00/")
    assert shown.status == 404
    assert "has no cell named" in shown.text
    assert browser.get(f"{DEFINED}CuZr-1-00/bonds/4/").status == 404


def test_a_bond_that_is_not_the_cells_is_not_found(page):
    assert page(f"{DEFINED}CuZr-1-00/bonds/1/").status == 404
    assert page(f"{DEFINED}CuZr-1-00/bonds/999999999999999999999/").status == 404


def test_a_failed_cell_says_why(page):
    shown = page(f"{DEFINED}gone-1/")
    assert shown.status == 200
    assert "never converged" in shown.text
    assert shown.html.select("svg circle.atom")
    assert not shown.html.select("[data-bond-table]")
    assert page(f"{DEFINED}gone-1/data/").status == 200
    assert page(f"{DEFINED}gone-1/download/?format=csv").status == 200


@pytest.mark.parametrize(
    "structure, said",
    [
        ('1\nLattice="1 0 0 0 1 0 0 0"\nCu 0 0 0\n', "its Lattice has 8 numbers"),
        ('1\nLattice="1 0 0 0 1 0 0 0 0"\nCu 0 0 0\n', "its Lattice has no volume"),
        ('1\nLattice="3 0 0 0 3 0 0 0 3"\nCu 0 0 nan\n', "a position is not a number"),
        ('1\nLattice="3 0 0 0 3 0 0 0 3"\nCu 0\n', "the line of atom 1 has 2 columns"),
        ('1\nLattice="3 0 0 0 3 0 0 0 3" Properties=pos:R:3\n0 0 0\n', "without species or pos"),
        ('1\nLattice="3 0 0 0 3 0 0 0 3" Properties=species:S:x\nCu 0 0 0\n', "its Properties are"),
    ],
)
def test_a_structure_that_cannot_be_read_leaves_the_tables(bonds, browser, structure, said):
    bonds.add("odd", structure=structure)
    shown = browser.get(f"{DEFINED}odd/?by=residual")
    assert shown.status == 200
    assert said in shown.text
    assert len(rows(shown, "Bonds of")) == 4
    assert not shown.html.select("svg.cell-picture")
    assert not [script for script in shown.html.select("script") if "3Dmol" in script["src"]]
    assert browser.get(f"{DEFINED}odd/data/").status == 200


def test_bonds_without_a_length_have_no_atoms(bonds, browser):
    bonds.add(
        "bare",
        [
            {"x": {"bond": "Zr-Cu", "s0": 1.0}, "y": 1.0},
            {"x": {"bond": "Zr-Cu", "s0": 2.0, "distance": "far"}, "y": 1.0},
        ],
    )
    shown = browser.get(f"{DEFINED}bare/")
    assert "no feature distance" in shown.text
    assert rows(shown, "Bonds of")[0][1] == "–"


def test_markup_in_names_stays_text(api, browser):
    evil = "<img src=x onerror=alert(1)>"
    found = Bonds(api)
    found.tree()
    structure = STRUCTURE.replace("Cu 0", "<b>Cu</b> 0")
    found.add("c1", [bond(evil, LENGTH), bond("=1+1", SIDE)], structure=structure, provenance={"method": evil})
    recorded()
    for path in (
        DEFINED,
        f"{DEFINED}?composition=Cu50Zr50&show=coverage",
        f"{DEFINED}c1/?bond=1",
        f"{DEFINED}c1/bonds/1/",
    ):
        shown = browser.get(path)
        assert shown.status == 200
        assert not shown.html.select("img[src=x], b"), path
    lines = b"".join(browser.get(f"{DEFINED}c1/download/?format=csv").response.streaming_content).decode()
    assert "'=1+1" in lines


def test_without_a_record_it_says_so(api, browser):
    found = Bonds(api)
    found.tree()
    found.add("c1")
    shown = browser.get(f"{DEFINED}c1/?by=residual")
    assert "0 of 4 bonds are recorded so far" in shown.text
    assert "There is nothing to color them by" in shown.text
    assert browser.get(f"{DEFINED}?sort=worst").status == 200


def test_only_a_page_with_3d_loads_3dmol(page):
    def scripts(path: str) -> list[str]:
        return [script["src"] for script in page(path).html.select("script")]

    assert not [one for one in scripts(DEFINED) if "3Dmol" in one]
    assert [one for one in scripts(f"{DEFINED}CuZr-1-00/") if "3Dmol" in one]


# Who may see it

PATHS = (
    DEFINED, "/streams/bonds/cell-coverage/", f"{DEFINED}CuZr-1-00/", f"{DEFINED}CuZr-1-00/data/",
    f"{DEFINED}CuZr-1-00/download/", f"{DEFINED}CuZr-1-00/bonds/4/",
)  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_who_is_not_signed_in_is_sent_to_sign_in(bonds, required, path):
    shown = Browser().get(path)
    assert shown.status == 302
    assert shown.response.headers["Location"].startswith("/login/?next=")


def test_who_may_not_read_sees_nothing(bonds, signed_in):
    reader, nobody = signed_in("rita", "researcher"), signed_in("nob", "")
    for path in PATHS:
        assert reader.get(path).status == 200, path
        assert nobody.get(path).status == 403, path


def test_a_stream_out_of_reach_is_not_there(bonds, signed_in, only_stream):
    reader = signed_in("rita", "researcher")
    only_stream("another")
    assert Stream.objects.filter(name="bonds").exists()
    assert User.objects.filter(username="rita").exists()
    for path in PATHS:
        shown = reader.get(path)
        assert shown.status == 404, path
        assert "no stream named 'bonds'" in shown.text.lower()
