"""`bonds ingest`: labeled cells checked, described and posted whole to a real server, as often as it takes."""

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest
from tailrace.transport.server import Server as Address

from lammps_jobs.bonds.command import main
from lammps_jobs.bonds.descriptors.soap import DEFAULT, Descriptor
from lammps_jobs.bonds.errors import Refused
from lammps_jobs.bonds.learning.cell_observations import described
from lammps_jobs.bonds.learning.ingest import Ingest, composition_of
from lammps_jobs.bonds.structures import structure_files
from tests.lammps_jobs.crystals import crystal, labeled
from tests.lammps_jobs.lobster_files import icohplist
from tests.serving import Server, free_port

pytestmark = pytest.mark.one_database  # its server has a SQLite database, whichever the others have


@pytest.fixture(scope="module")
def bond_server(tmp_path_factory: pytest.TempPathFactory) -> Any:
    server = Server(tmp_path_factory.mktemp("ingest") / "var").start()
    yield server
    server.stop()


class Site:
    """Labeled cells in directories, and a stream of their own on a real server."""

    def __init__(self, path: Path, server: Server, stream: str, capsys: pytest.CaptureFixture[str]) -> None:
        self.path, self.server, self.stream, self._capsys = path, server, stream, capsys

    def cell(self, name: str, seed: int = 0) -> Path:
        directory = self.path / name
        directory.mkdir()
        structure_files.write(directory / "structure.xyz", crystal(seed=seed))
        structure = structure_files.read(directory / "structure.xyz")
        (directory / "ICOHPLIST.lobster").write_text(icohplist(labeled(structure)))
        return directory

    def ingest(self, *words: object) -> tuple[int, str, str]:
        code = main(["ingest", *map(str, words), "--stream", self.stream, "--url", self.server.url])
        out, err = self._capsys.readouterr()
        return code, out, err

    def get(self, path: str = "") -> Any:
        status, body = self.server.get(f"/api/v1/streams/{self.stream}/{path}")
        assert status == 200, body
        return body

    def cells(self) -> dict[str, Any]:
        return {cell["name"]: cell for cell in self.get("cells/")["cells"]}


@pytest.fixture
def site(
    tmp_path: Path, bond_server: Server, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> Site:
    return Site(tmp_path, bond_server, re.sub(r"\W+", "-", request.node.name)[:60].strip("-"), capsys)


def test_cells_become_observations_that_models_learn(site):
    places = [site.cell("Cu50Zr50-1-00", 1), site.cell("odd name", 2)]
    places[1] = places[1].rename(site.path / "odd_name")
    code, out, _ = site.ingest(*places)
    stream = site.get()
    assert (code, out) == (0, f"2 cells posted, {stream['head']} bonds.\n")
    assert (stream["segment"], stream["descriptor"]) == ("bond", DEFAULT.name)
    assert stream["target"] == {"name": "-ICOHP", "unit": "eV", "kind": "number"}
    cells = site.cells()
    assert (cells["Cu50Zr50-1-00"]["first"], cells["Cu50Zr50-1-00"]["composition"]) == (1, "Cu50Zr50")
    assert cells["odd_name"]["last"] == stream["head"]
    structure = structure_files.read(places[0] / "structure.xyz")
    expected = described(structure, labeled(structure), Descriptor(DEFAULT), "x").observations()
    found = site.get("observations/?limit=10000")["observations"][: len(expected)]
    assert [one["x"] for one in found] == [x for x, _ in expected]
    assert [one["y"] for one in found] == pytest.approx([y for _, y in expected], abs=1e-5)  # as LOBSTER prints it
    cell = site.get("cells/Cu50Zr50-1-00/")
    assert cell["structure"] == (places[0] / "structure.xyz").read_text()
    assert set(cell["checksums"]) == {"structure.xyz", "ICOHPLIST.lobster"}
    assert cell["provenance"]["method"] == "LOBSTER"
    definition = site.server.get(f"/api/v1/descriptors/{DEFAULT.name}/")[1]
    assert definition["fingerprint"] == DEFAULT.fingerprint


def test_what_was_posted_before_is_passed_over(site):
    places = [site.cell(f"Cu50Zr50-{n}-00", n) for n in range(3)]
    site.ingest(places[0])
    before = site.cells()["Cu50Zr50-0-00"]
    code, out, _ = site.ingest(*places)
    head = site.get()["head"]
    assert (code, out) == (0, f"2 cells posted, {head - before['last']} bonds; 1 existed already.\n")
    assert site.ingest(*places)[1] == "0 cells posted, 0 bonds; 3 existed already.\n"
    assert site.get()["head"] == head
    assert site.cells()["Cu50Zr50-0-00"] == before


def test_a_cell_that_is_refused_leaves_nothing_and_holds_up_no_other(site):
    places = [site.cell(f"Cu50Zr50-{n}-00", n) for n in range(3)]
    labels = places[1] / "ICOHPLIST.lobster"
    lines = labels.read_text().splitlines(keepends=True)
    lines[9] = lines[9].replace("Cu", "Xx").replace("Zr", "Xx").replace("Al", "Xx")
    labels.write_text("".join(lines))
    code, out, err = site.ingest(*places)
    assert code == 1
    assert out.startswith("2 cells posted, ")
    assert out.endswith("; 1 refused.\n")
    assert f"bonds ingest: Cu50Zr50-1-00: {labels}:10: " in err
    cells = site.cells()
    assert set(cells) == {"Cu50Zr50-0-00", "Cu50Zr50-2-00"}
    assert cells["Cu50Zr50-2-00"]["first"] == cells["Cu50Zr50-0-00"]["last"] + 1


def test_other_files_under_a_name_that_is_there_are_refused(site):
    place = site.cell("Cu50Zr50-1-00", 1)
    site.ingest(place)
    before = site.cells()
    labels = place / "ICOHPLIST.lobster"
    labels.write_text(labels.read_text().replace("-0.1", "-0.2", 1))
    code, _, err = site.ingest(place)
    assert code == 1
    assert "another ICOHPLIST.lobster: give a new calculation a new name" in err
    assert site.cells() == before


def test_a_failure_is_recorded_only_if_asked_for_and_gives_way_to_a_success(site):
    place = site.cell("Cu50Zr50-1-00", 1)
    labels = (place / "ICOHPLIST.lobster").rename(site.path / "kept")
    assert site.ingest(place)[0] == 1
    assert site.cells() == {}
    assert site.ingest(place, site.path / "nothing", "--record-failures")[0] == 1
    recorded = site.cells()
    assert set(recorded) == {"Cu50Zr50-1-00"}
    assert "there is no ICOHPLIST.lobster in it" in recorded["Cu50Zr50-1-00"]["reason"]
    labels.rename(place / "ICOHPLIST.lobster")
    assert site.ingest(place)[0] == 0
    assert site.cells()["Cu50Zr50-1-00"]["status"] == "labeled"
    (place / "ICOHPLIST.lobster").unlink()
    assert site.ingest(place, "--record-failures")[0] == 1
    assert site.cells()["Cu50Zr50-1-00"]["status"] == "labeled"


def test_a_descriptor_of_the_same_name_that_is_another_is_noticed(site):
    Ingest(Address(site.server.url), site.stream, Descriptor(DEFAULT))
    other = Descriptor(dataclasses.replace(DEFAULT, r_cut=4.0))
    with pytest.raises(Refused, match="the server has another descriptor with the name"):
        Ingest(Address(site.server.url), "another", other)
    assert site.server.get("/api/v1/streams/another/")[0] == 404


@pytest.mark.parametrize("fields", [{}, {"segment": "kind"}, {"segment": "bond"}])
def test_a_stream_for_something_else_is_not_posted_to(site, fields):
    body = {"name": site.stream, "target": {"name": "y", "unit": "s"}, **fields}
    assert site.server.post("/api/v1/streams/", body)[0] == 201
    code, _, err = site.ingest(site.cell("Cu50Zr50-1-00"))
    assert code == 1
    assert "choose another stream" in err
    assert site.get()["head"] == 0


def test_a_server_that_is_away_is_said_in_a_line(site, capsys):
    place = site.cell("Cu50Zr50-1-00")
    address = f"http://127.0.0.1:{free_port()}"
    assert main(["ingest", str(place), "--stream", "s", "--url", address]) == 1
    err = capsys.readouterr().err
    assert err.startswith("bonds ingest: ")
    assert address in err
    assert err.count("\n") == 1


def test_of_the_reference_cells_the_failed_one_is_refused_and_the_others_are_taken(site, shared_data):
    cells = shared_data / "bonds"
    names = ["Zr49Cu49Al2-21-00", "Zr49Cu49Al2-21-13-failed", "Zr45Cu45Al10-1-00"]
    code, out, err = site.ingest(*(cells / name for name in names), "--record-failures")
    assert (code, out.endswith("; 1 refused.\n")) == (1, True)
    assert "did not converge" in err
    found = site.cells()
    assert {name: cell["status"] for name, cell in found.items()} == {
        names[0]: "labeled", names[1]: "failed", names[2]: "labeled",
    }  # fmt: skip
    assert found[names[2]]["types"]["Al-Al"] == 2
    assert found[names[1]]["composition"] == "Zr49Cu49Al2"
    assert "did not converge" in found[names[1]]["reason"]
    told = site.get(f"cells/{names[0]}/")
    assert "Quantum ESPRESSO" in told["provenance"]["method"] or told["provenance"]["method"] == "LOBSTER"


@pytest.mark.parametrize(
    "name, expected",
    [
        ("Zr49Cu49Al2-21-00", "Zr49Cu49Al2"),
        ("CuZr-1-1", "CuZr"),
        ("Zr49Cu49Al2-21-13-failed", "Zr49Cu49Al2"),
        ("Xx50-1-00", "Al10Cu12Zr10"),
        ("run-1-00", "Al10Cu12Zr10"),
        ("Zr49Cu49Al2", "Al10Cu12Zr10"),
    ],
)
def test_a_cell_is_of_the_composition_that_its_name_says_or_else_its_atoms(name, expected):
    structure = crystal()
    structure.symbols = ["Al"] * 10 + ["Cu"] * 12 + ["Zr"] * 10
    assert composition_of(name, structure) == expected
