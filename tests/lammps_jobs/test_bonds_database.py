"""`python -m lammps_jobs bonds database`: a selection of a real server's cells, as Parquet, the same for ever."""

import json

import pytest
from pyarrow import parquet

from lammps_jobs.bonds.command import main
from tests.cell_examples import DEFINITION, bond, new_cell
from tests.serving import Server, fresh_database

pytestmark = pytest.mark.one_database

CELLS = "/api/v1/streams/bonds/cells/"


@pytest.fixture(scope="module")
def with_cells(tmp_path_factory):
    """A server with three cells of two compositions, for tests that add none, and make databases of other names."""
    with fresh_database("cells") as database:
        server = Server(tmp_path_factory.mktemp("cells") / "var", database, workers=1).start()
        try:
            yield filled(server)
        finally:
            server.stop()


@pytest.fixture
def served(with_cells, monkeypatch):
    monkeypatch.setenv("TAILRACE_URL", with_cells.url)
    return with_cells


def filled(server):
    assert server.post("/api/v1/descriptors/", {"name": "soap", "content": DEFINITION})[0] == 201
    stream = {"name": "bonds", "target": {"name": "-ICOHP", "unit": "eV"}, "segment": "bond", "descriptor": "soap"}
    assert server.post("/api/v1/streams/", stream)[0] == 201
    for n, composition in enumerate(["Cu50Zr50", "Cu50Zr50", "Al2Cu49Zr49"]):
        bonds = [bond(kind, 2.5 + n / 10 + k / 100) for k in range(30) for kind in ("Zr-Cu", "Cu-Cu")]
        assert server.post(CELLS, new_cell(f"c{n}", bonds, composition=composition))[0] == 201
    return server


def test_a_mixed_database_is_written_bit_for_bit_whatever_came_since(serve, monkeypatch, tmp_path, capsys):
    served = filled(serve(workers=1))
    monkeypatch.setenv("TAILRACE_URL", served.url)
    chosen = ["--stream", "bonds", "--type", "Zr-Cu=20", "--type", "Cu-Cu", "--seed", "3"]
    assert main(["database", "mixed", *chosen, "-o", str(tmp_path / "one.parquet")]) == 0
    said = capsys.readouterr().out
    assert "mixed: 110 bonds of stream bonds up to 180 (Cu-Cu 90, Zr-Cu 20)" in said
    table = parquet.read_table(tmp_path / "one.parquet")
    assert table.column_names == ["seq", "cell", "composition", "bond", "distance", "s0", "s1", "-ICOHP"]
    rows = table.to_pylist()
    assert len(rows) == 110
    assert [row["seq"] for row in rows] == sorted(row["seq"] for row in rows)
    assert {row["composition"] for row in rows} == {"Cu50Zr50", "Al2Cu49Zr49"}
    assert all(row["-ICOHP"] == 5.0 - row["distance"] and row["s0"] == row["distance"] / 10 for row in rows)
    kept = json.loads(table.schema.metadata[b"tailrace"])
    assert kept["seed"] == 3
    assert kept["fingerprint"] in said
    assert served.post(CELLS, new_cell("later", [bond("Zr-Cu", 2.0)]))[0] == 201
    assert served.post("/api/v1/streams/bonds/observations/1/retract/", {"reason": "wrong"})[0] in (200, 202)
    for n, words in enumerate((["mixed", *chosen], ["mixed"])):
        assert main(["database", *words, "-o", str(tmp_path / f"{n}.parquet")]) == 0
        assert (tmp_path / f"{n}.parquet").read_bytes() == (tmp_path / "one.parquet").read_bytes()


def test_cells_and_compositions_are_chosen(served, capsys):
    assert main(["database", "first", "--stream", "bonds", "--cell", "c[01]", "--composition", "Cu50Zr50"]) == 0
    assert "first: 120 bonds" in capsys.readouterr().out
    assert main(["database", "none", "--stream", "bonds", "--cell", "d*"]) == 1
    assert "the selection is empty" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["n", "--stream", "bonds", "--type", "Zr-Cu=many"], "--type Zr-Cu=many: expected a type"),
        (["n", "--stream", "bonds", "--type", "=3"], "--type =3: expected a type"),
        (["n", "--seed", "1"], "seed can't be used without --stream"),
        (["n"], "no database named 'n'"),
        (["n", "--stream", "other"], "no stream named 'other'"),
    ],
)
def test_what_cannot_be_meant_is_refused_and_nothing_is_written(served, tmp_path, capsys, words, said):
    assert main(["database", *words, "-o", str(tmp_path / "file.parquet")]) == 1
    assert said in capsys.readouterr().err
    assert list(tmp_path.glob("*.parquet")) == []


def test_what_is_not_what_the_fingerprint_was_made_of_is_not_written(served, tmp_path, capsys, monkeypatch):
    from lammps_jobs.bonds.learning import parquet as writing

    assert main(["database", "mixed", "--stream", "bonds"]) == 0
    whole = writing._observations
    monkeypatch.setattr(writing, "_observations", lambda client, name, digest: whole(client, name, digest.copy()))
    assert main(["database", "mixed", "-o", str(tmp_path / "file.parquet")]) == 1
    assert "nothing is written, try again" in capsys.readouterr().err
    assert list(tmp_path.glob("*.parquet")) == []
