"""Bond strengths of large cells: the same bonds as in one go, whatever the pieces."""

import re
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from pymatgen.electronic_structure.cohp import IcohpCollection
from pymatgen.io.lobster import Icohplist

from lammps_jobs.bonds.descriptors.soap import DEFAULT, Descriptor
from lammps_jobs.bonds.errors import Refused
from lammps_jobs.bonds.labels import icohplist
from lammps_jobs.bonds.learning.cell_observations import described, of_bonds
from lammps_jobs.bonds.learning.structure_prediction import predict
from lammps_jobs.bonds.structures import structure_files
from lammps_jobs.bonds.structures.neighbours import find
from lammps_jobs.bonds.structures.pieces import Pieces
from server.learning.recipes import catalog
from tests.lammps_jobs.crystals import Law, crystal
from tests.lammps_jobs.test_bonds_soap import SMALL

pytestmark = pytest.mark.one_database

CELLS = {
    "large": crystal((5, 4, 3), 21),
    "sheared": crystal((4, 2, 3), 22, shear=3.0),
    "smaller than the cutoff": crystal((1, 1, 1), 23),
    "long": crystal((9, 1, 1), 24),
}


def _keys(bonds):
    return list(zip(bonds.i.tolist(), bonds.j.tolist(), map(tuple, bonds.translation.tolist()), strict=True))


@pytest.mark.parametrize("piece", [1, 7, 60, 10**6])
@pytest.mark.parametrize("structure", CELLS.values(), ids=CELLS.keys())
def test_pieces_have_the_bonds_and_the_strengths_that_the_whole_cell_has(structure, piece):
    found = predict(structure, Law(), SMALL, piece=piece)
    bonds = find(structure)
    soap = of_bonds(Descriptor(SMALL).atoms(structure), bonds)
    mean, deviation = Law().predict_arrays(found.types, bonds.distance, soap)
    assert _keys(found.bonds) == _keys(bonds)
    assert found.types.tolist() == bonds.types(structure.get_chemical_symbols()).tolist()
    assert np.allclose(found.bonds.distance, bonds.distance, atol=1e-12)
    assert np.allclose(found.strength, mean, atol=1e-6) and np.allclose(found.deviation, deviation)


def test_a_replicated_cell_has_each_bond_of_the_cell_as_often():
    structure = crystal((2, 2, 2), 25)
    once = predict(structure, Law(), SMALL)
    often = predict(structure.repeat((3, 2, 2)), Law(), SMALL, piece=40)
    one, many = (sorted(zip(found.types, found.strength.round(6), strict=True)) for found in (once, often))
    assert len(many) == 12 * len(one)
    assert many[::12] == one


def test_every_atom_is_one_pieces_own_and_has_all_that_it_sees_around_it():
    structure = crystal((5, 4, 3), 26)
    reach = 5.0
    own = []
    for piece in Pieces(structure, reach, 30):
        own += piece.atom[: piece.own].tolist()
        assert np.array_equal(piece.numbers, structure.numbers[piece.atom])
        moved = structure.positions[piece.atom] + piece.image @ structure.cell.array
        assert np.allclose(moved, piece.positions)
        middle = piece.positions[0]
        within = np.linalg.norm(piece.positions - middle, axis=1) <= reach
        everywhere = structure.repeat((5, 5, 5))
        everywhere.positions -= 2 * structure.cell.array.sum(axis=0)
        where = np.linalg.norm(everywhere.positions - middle, axis=1) <= reach
        assert within.sum() == where.sum() > 10
    assert sorted(own) == list(range(len(structure)))


def test_a_piece_does_not_grow_with_the_cell():
    def sizes(repeat: int) -> list[int]:
        return [len(piece.atom) for piece in Pieces(crystal((repeat,) * 3, 27), 8.0, 200)]

    few, many = sizes(8), sizes(16)
    assert len(many) == pytest.approx(8 * len(few), rel=0.3)
    assert max(many) <= 1.3 * max(few)
    assert sum(many) <= 8 * 1.3 * sum(few)


@pytest.fixture(scope="module")
def large():
    return crystal((6, 5, 4), 28)


@pytest.fixture(scope="module")
def written(large, tmp_path_factory):
    """What one thread writes of it."""
    path = tmp_path_factory.mktemp("written") / "ICOHPLIST.lobster"
    beside = predict(large, Law(), SMALL, piece=100, count=1).write(path, large.get_chemical_symbols())
    return path.read_bytes(), Path(beside).read_bytes()


def test_the_list_is_read_by_our_reader_and_by_pymatgen(large, written, tmp_path):
    path = tmp_path / "ICOHPLIST.lobster"
    path.write_bytes(written[0])
    found = predict(large, Law(), SMALL, piece=100)
    bonds = icohplist.read(path)
    assert [(bond.i, bond.j, bond.translation) for bond in bonds] == _keys(found.bonds)
    assert np.allclose([-bond.icohp for bond in bonds], found.strength, atol=6e-6)
    collection = Icohplist(filename=path).icohpcollection
    assert isinstance(collection, IcohpCollection)
    assert collection.get_icohp_by_label("1") == pytest.approx(bonds[0].icohp)


def test_the_uncertainties_stand_beside_it_line_by_line(large, written):
    header, *lines = written[1].decode().splitlines()
    assert header == "cohp,atom_i,atom_j,bond,minus_icohp,sd"
    rows = [line.split() for line in written[0].decode().splitlines()[1:]]
    assert len(rows) == len(lines)
    for row, line in zip(rows, lines, strict=True):
        number, a, b, kind, strength, sd = line.split(",")
        assert [number, a, b] == row[:3] and float(strength) == -float(row[7])
        assert float(sd) == pytest.approx(0.01 * float(row[3]), abs=1e-5)
        assert set(kind.split("-")) == {re.sub(r"\d", "", a), re.sub(r"\d", "", b)}


def test_types_that_were_not_learned_are_named_and_nothing_is_written(tmp_path):
    structure = crystal((3, 3, 3), 29)
    found = predict(structure, Law("Al-Al", "Zr-Zr"), SMALL)
    kinds = found.types.tolist()
    assert found.unlearned == {"Al-Al": kinds.count("Al-Al"), "Zr-Zr": kinds.count("Zr-Zr")}
    with pytest.raises(Refused, match=rf"no bond of these types.*: Al-Al \({kinds.count('Al-Al')}\), Zr-Zr"):
        found.write(tmp_path / "list", structure.get_chemical_symbols())
    assert list(tmp_path.iterdir()) == []
    assert set(found.learned().types) == set(kinds) - {"Al-Al", "Zr-Zr"}


def test_a_list_that_can_not_be_written_leaves_nothing_behind(tmp_path):
    structure = crystal((2, 2, 2), 30)
    (tmp_path / "list").mkdir()
    with pytest.raises(OSError):
        predict(structure, Law(), SMALL).write(tmp_path / "list", structure.get_chemical_symbols())
    assert [path.name for path in tmp_path.iterdir()] == ["list"]


def _alone():
    structure = crystal((3, 3, 3), 31)
    structure.wrap()
    structure.set_cell(structure.cell.array + np.diag([0, 0, 30.0]))
    return structure + Atoms("Zr", positions=[[0, 0, 28]])


def _foreign():
    structure = crystal()
    structure.symbols[9] = "Ni"
    return structure


def _slab():
    structure = crystal()
    structure.pbc = [True, False, True]
    return structure


@pytest.mark.parametrize(
    "structure, why",
    [
        (_alone(), r"^atom 109 \(Zr\) has no neighbour within 3.75 Å"),
        (_foreign(), r"^atom 10 is Ni, but the descriptor small knows Al, Cu, Zr only"),
        (_slab(), r"^the structure is not periodic along b"),
        (Atoms(cell=[4, 4, 4], pbc=True), r"^there are no atoms"),
    ],
)
@pytest.mark.parametrize("piece", [20, 1000])
def test_a_structure_that_can_not_be_described_is_refused(structure, why, piece):
    with pytest.raises(Refused, match=why):
        predict(structure, Law(), SMALL, piece=piece)


class Narrow:
    """As an estimator that learned five SOAP numbers."""

    def predict_arrays(self, types, distance, soap):
        return soap @ np.ones(5), distance


def test_a_model_of_another_descriptor_is_refused():
    with pytest.raises(Refused, match=r"\(Narrow\) can't predict bonds with 16 SOAP numbers: ValueError.*descriptor"):
        predict(crystal(), Narrow(), SMALL)


def test_the_default_descriptor_is_used_where_none_is_named():
    structure = crystal((2, 2, 2), 33)
    found = predict(structure, Law())
    soap = of_bonds(Descriptor(DEFAULT).atoms(structure), found.bonds)
    assert np.allclose(found.strength, Law().predict_arrays(found.types, found.bonds.distance, soap)[0], atol=1e-6)


def test_a_model_of_reference_cells_predicts_a_replica_as_it_predicts_each_bond(shared_data):
    path = shared_data / "bonds" / "Zr49Cu49Al2-21-00" / "ICOHPLIST.lobster"
    structure = structure_files.read(path.with_name("structure.xyz"))
    cell = described(structure, icohplist.read(path), Descriptor(), str(path))
    _, model, _ = catalog.build("bond-gpr")
    for x, y in cell.observations():
        model.learn_one(x, y)
    found = predict(structure.repeat((2, 1, 1)), model, piece=60)
    alone = sorted((x["bond"], round(x["distance"], 4), model.predict_one(x)) for x, _ in cell.observations())
    twice = sorted(zip(found.types, found.bonds.distance.round(4), found.strength, strict=True))
    assert len(twice) == 2 * len(alone)
    assert np.allclose([one[2] for one in twice[::2]], [one[2] for one in alone], atol=1e-6)
    assert (found.deviation > 0).all()
