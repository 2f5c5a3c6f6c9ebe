"""Families: a cell and its deformed copies are never on both sides of a comparison."""

from typing import Any

import numpy as np
import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from server.cells import families
from server.cells.models import Cell
from server.cells.nearest import Learned
from server.streams.models import Stream
from tests.api_client import refused
from tests.cell_examples import STRUCTURE
from tests.cells.test_coverage import points

pytestmark = pytest.mark.django_db(transaction=True)

ENVIRONMENTS = 40
STRAINS = 4
BETWEEN_CELLS, BETWEEN_SIBLINGS = 0.028, 0.005
"""Distances between SOAP vectors as measured on independent Cu50Zr50 cells, and on mild strains of one of them."""


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("name", "provenance", "family"),
    [
        ("Zr49Cu49Al2-21-00", {}, "Zr49Cu49Al2-21"),
        ("Zr49Cu49Al2-21-07", {}, "Zr49Cu49Al2-21"),
        ("Zr49.5Cu50.5-3-14", {"code": "tblite"}, "Zr49.5Cu50.5-3"),
        ("glass-7", {}, "glass-7"),
        ("melt-3-05", {}, "melt-3-05"),
        ("Zr49Cu49Al2-21", {}, "Zr49Cu49Al2-21"),
        ("Zr49Cu49Al2-21-007", {}, "Zr49Cu49Al2-21-007"),
        ("x", {"family": "glass-7"}, "glass-7"),
        ("x", {"family": "Zr49Cu49Al2-21-00"}, "Zr49Cu49Al2-21"),
        ("x", {"family": 3}, "x"),
        ("x", {"family": ""}, "x"),
        ("x", {"family": "a\0b"}, "x"),
        ("x", {"family": "y" * 201}, "x"),
    ],
)
def test_the_family_of_a_cell(name, provenance, family):
    assert families.of_cell(name, provenance) == family


def cell_vectors(run: int, strain: int) -> np.ndarray:
    """Environments that lie far apart, displaced a little by the cell's own disorder and much less by its strain."""
    found = np.zeros((ENVIRONMENTS, 8))
    found[:, 0] = np.arange(ENVIRONMENTS)
    found[:, 1 + run] += BETWEEN_CELLS / np.sqrt(2)
    found[:, 4 + strain % 4] += BETWEEN_SIBLINGS * (strain > 0)
    return found


def test_mild_strains_of_two_cells_do_not_make_a_third_one_new():
    """Issue 15's example: leaving out cells alone, siblings set a reach that no independent cell is within."""
    learned = [(run, strain) for run in (0, 1) for strain in range(STRAINS + 1)]
    vectors = np.vstack([cell_vectors(run, strain) for run, strain in learned])
    cells = [f"Cu50Zr50-{run}-{strain:02d}" for run, strain in learned for _ in range(ENVIRONMENTS)]
    third = cell_vectors(2, 0)

    def covered(groups: list[str]) -> float:
        known = Learned(vectors, groups)
        assert known.reach is not None
        return float(np.mean(known.distances(third, [None] * len(third)) <= known.reach))

    assert covered(cells) == 0.0
    assert covered([families.of_cell(cell, {}) for cell in cells]) == 1.0


@pytest.fixture
def learned(bonds: Any) -> Any:
    """A model that has learned two families of two cells each. Families are half a unit apart, and siblings a tenth."""
    bonds.api.model("avg", "bonds", "mean")
    for run, shift in ((1, 0.0), (2, 0.5)):
        for strain in (0, 1):
            places = [n + shift + 0.1 * strain for n in range(10)]
            bonds.add(f"Cu50Zr50-{run}-{strain:02d}", points("Zr-Cu", places))
    return bonds


def test_coverage_leaves_out_the_whole_family(learned):
    learned.api.ok("/api/v1/databases/", {"name": "all", "stream": "bonds"}, 201)
    found = learned.api.ok("/api/v1/models/avg/coverage/?database=all")
    assert found["types"]["Zr-Cu"]["reach"] == pytest.approx(0.4, abs=1e-12)
    # The first bond has no neighbour of another family on its left.
    assert found["cells"]["Cu50Zr50-1-00"]["distance"] == pytest.approx(0.41, abs=1e-12)


def test_a_deformed_copy_that_is_held_back_in_another_stream_is_of_the_same_family(learned):
    learned.api.stream("held", target={"name": "-ICOHP", "unit": "eV"}, segment="bond", descriptor="soap")
    for name, more in (("Cu50Zr50-1-05", {}), ("copy", {"provenance": {"family": "Cu50Zr50-1-00"}}), ("new", {})):
        body = {"name": name, "structure": STRUCTURE, "composition": "Cu50Zr50", "descriptor": "soap", **more}
        learned.api.ok("/api/v1/streams/held/cells/", {**body, "observations": points("Zr-Cu", [3.0])}, 201)
    learned.api.ok("/api/v1/databases/", {"name": "test", "stream": "held"}, 201)
    cells = learned.api.ok("/api/v1/models/avg/coverage/?database=test")["cells"]
    distances = {name: round(row["distance"], 12) for name, row in cells.items()}
    assert distances == {"Cu50Zr50-1-05": 0.4, "copy": 0.4, "new": 0.0}


def test_a_candidate_may_name_its_family(learned):
    xs = [one["x"] for one in points("Zr-Cu", [3.0])]
    path = "/api/v1/models/avg/coverage/"

    def distance(**more: str) -> float:
        found = learned.api.ok(path, {"descriptor": "soap", "xs": xs, **more})
        return float(round(found["all"]["distance"], 12))

    assert distance() == 0.0
    assert distance(family="Cu50Zr50-1") == distance(family="Cu50Zr50-1-03") == 0.4
    for wrong in ("", 3, None, "a\0b", "y" * 201):
        refused(learned.api.post(path, {"descriptor": "soap", "xs": xs, "family": wrong}), 400, "family")


def test_a_cell_tells_its_family_and_a_bad_one_is_refused(bonds):
    assert bonds.add("a", provenance={"family": "glass-1"})["family"] == "glass-1"
    assert bonds.api.ok(bonds.CELLS + "a/")["family"] == "glass-1"
    for wrong in ("", "a\nb", "y" * 201):
        refused(bonds.post("b", provenance={"family": wrong}), 400, "provenance.family")


@pytest.mark.database
def test_cells_of_an_older_database_get_their_families():
    before = [("cells", "0003_plain_help_texts")]
    executor = MigrationExecutor(connection)
    executor.migrate(before)
    old: Any = executor.loader.project_state(before).apps.get_model("cells", "Cell")
    stream = Stream.objects.create(name="old")
    for name, provenance in (("Cu50Zr50-1-03", "{}"), ("plain", "{}"), ("copy", '{"family":"plain"}')):
        old.objects.create(
            stream_id=stream.pk, name=name, status="failed", composition="Cu", structure=STRUCTURE,
            provenance=provenance, checksums="{}", fingerprint=name,
        )  # fmt: skip
    executor = MigrationExecutor(connection)
    executor.migrate(executor.loader.graph.leaf_nodes())
    found = dict(Cell.objects.values_list("name", "family"))
    assert found == {"Cu50Zr50-1-03": "Cu50Zr50-1", "plain": "plain", "copy": "plain"}


def test_the_reach_is_that_of_the_best_known_composition_and_not_of_its_odd_families():
    """Four families of one composition lie 1 apart, one of them 30 away; two of another composition lie 10 apart."""
    places, families = [0.0, 1.0, 2.0, 32.0, 100.0, 110.0], list("abcdef")
    vectors = np.array(places)[:, None]
    learned = Learned(vectors, families, ["Cu50Zr50"] * 4 + ["Cu64Zr36"] * 2)
    assert learned.reach == 1.0
    assert (learned.distances(vectors, families) <= learned.reach).tolist() == [True] * 3 + [False] * 3
    assert Learned(vectors[4:], families[4:], ["Cu64Zr36"] * 2).reach == 10.0
