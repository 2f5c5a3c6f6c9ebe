"""The paper's fourteen deformations, held against the lattices of the cells that it published."""

import numpy as np
import pytest

from lammps_jobs.bonds.errors import Refused
from lammps_jobs.bonds.generation.deformations import DEFORMATIONS, deform, sibling
from lammps_jobs.bonds.structures import structure_files
from tests.lammps_jobs.crystals import crystal

pytestmark = pytest.mark.one_database


def test_the_deformed_reference_cells_come_out_of_the_undeformed_one(shared_data):
    cells = shared_data / "bonds"
    original = structure_files.read(cells / "Zr49Cu49Al2-21-00" / "structure.xyz")
    compared = []
    for one in DEFORMATIONS:
        for directory in cells.glob(f"Zr49Cu49Al2-21-{one.subrun:02d}*"):
            published, ours = structure_files.read(directory / "structure.xyz"), deform(original, one)
            assert ours.cell.array == pytest.approx(published.cell.array, abs=1e-5), one
            assert ours.positions == pytest.approx(published.positions, abs=1e-5), one
            assert ours.get_chemical_symbols() == published.get_chemical_symbols()
            compared.append(one.subrun)
    assert compared == [1, 2, 3, 4, 5, 6, 7, 8, 9, 13]


def test_there_are_fourteen_and_each_does_what_it_says():
    length = 10.0
    cube = crystal()
    cube.set_cell(np.eye(3) * length, scale_atoms=True)
    cells = {one.subrun: deform(cube, one).cell.array / length for one in DEFORMATIONS}
    assert list(cells) == list(range(1, 15))
    for subrun, (row, column) in zip(range(1, 7), [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)], strict=True):
        expected = np.eye(3)
        expected[row, column] = 0.5
        assert cells[subrun] == pytest.approx(expected)
    for axis in range(3):
        for subrun, factor in ((7 + 2 * axis, 1.02), (8 + 2 * axis, 0.8)):
            expected = np.eye(3)
            expected[axis, axis] = factor
            assert cells[subrun] == pytest.approx(expected)
    assert cells[13] == pytest.approx(1.01 * np.eye(3))
    assert cells[14] == pytest.approx(0.9 * np.eye(3))


@pytest.mark.parametrize("one", DEFORMATIONS, ids=lambda one: one.what)
def test_atoms_keep_their_fractional_coordinates_and_the_original_stays(one):
    original = crystal((2, 1, 2), 6, shear=1.1)
    before = original.copy()
    deformed = deform(original, one)
    assert deformed.get_scaled_positions(wrap=False) == pytest.approx(original.get_scaled_positions(wrap=False))
    assert original.positions == pytest.approx(before.positions)
    assert original.cell.array == pytest.approx(before.cell.array)
    # Of a cell that is not a cube each lattice vector is deformed as space is, so that neighbours stay neighbours.
    assert deformed.positions == pytest.approx(original.positions @ np.array(one.matrix))


def test_a_deformed_cell_stands_beside_its_original(tmp_path):
    assert sibling(tmp_path / "Cu50Zr50-7-00", DEFORMATIONS[8]) == tmp_path / "Cu50Zr50-7-09"
    assert sibling(tmp_path / "Cu50Zr50-7-00", DEFORMATIONS[13]) == tmp_path / "Cu50Zr50-7-14"
    for name in ("Cu50Zr50-7-09", "glass", "-00"):
        with pytest.raises(Refused, match="only undeformed cells can be deformed"):
            sibling(tmp_path / name, DEFORMATIONS[0])
