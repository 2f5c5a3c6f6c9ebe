"""Labels by tight binding: the sum that they are said to be, from a calculation that converged; or no labels at all."""

import json
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.units import Bohr, Hartree
from tblite.interface import Calculator

from lammps_jobs.bonds.errors import Refused
from lammps_jobs.bonds.labels import icohplist
from lammps_jobs.bonds.labels.calculation import check
from lammps_jobs.bonds.labels.label_files import Settings, label_cell
from lammps_jobs.bonds.labels.matching import match
from lammps_jobs.bonds.labels.tblite_labels import icohp_matrix, label
from lammps_jobs.bonds.structures import structure_files
from lammps_jobs.bonds.structures.neighbours import find

pytestmark = pytest.mark.one_database

SETTINGS = Settings(shortest=1.8, longest=3.1, temperature=300.0)


def _small(size: float = 3.3, elements: tuple[str, str] = ("Cu", "Zr")) -> Atoms:
    """16 atoms of the CsCl structure, out of order, one of them another element, some outside the cell."""
    random = np.random.default_rng(4)
    atoms = Atoms(elements, scaled_positions=[(0, 0, 0), (0.5, 0.5, 0.5)], cell=[size] * 3, pbc=True).repeat(2)
    atoms.symbols[5] = "Al"
    atoms.positions += random.uniform(-0.2, 0.2, (16, 3))
    atoms.positions[[2, 9]] += atoms.cell.array[[0, 1]]
    return atoms


@pytest.fixture(scope="module")
def small() -> Atoms:
    return _small()


@pytest.fixture(scope="module")
def matrix(small: Atoms) -> np.ndarray:
    return icohp_matrix(small)


def test_the_energy_of_two_atoms_is_twice_the_sum_over_their_orbitals_of_density_times_hamiltonian(small, matrix):
    calculator = Calculator(
        "GFN1-xTB",
        small.numbers,
        small.positions / Bohr,
        lattice=small.cell.array / Bohr,
        periodic=np.array([True] * 3),
    )
    calculator.set("verbosity", 0)
    calculator.set("save-integrals", 1)
    result = calculator.singlepoint()
    density, hamiltonian = result.get("density-matrix"), result.get("hamiltonian-matrix")
    atom = calculator.get("shell-map")[calculator.get("orbital-map")]
    for a, b in ((0, 1), (5, 9), (14, 3)):
        total = sum(
            density[m, n] * hamiltonian[m, n] for m in np.flatnonzero(atom == a) for n in np.flatnonzero(atom == b)
        )
        assert matrix[a, b] == pytest.approx(2.0 * total * Hartree, abs=1e-6)
        assert matrix[b, a] == matrix[a, b]


def test_the_label_of_a_bond_is_its_atoms_and_near_ones_bind(small, matrix):
    bonds = label(small, 1.8, 3.1)
    places = find(small, 1.8, 3.1)
    assert [(bond.i, bond.j, bond.translation, bond.distance) for bond in bonds] == [
        (place.i, place.j, place.translation, place.distance) for place in places
    ]
    assert [bond.icohp for bond in bonds] == pytest.approx([matrix[bond.i, bond.j] for bond in bonds], abs=1e-6)
    assert all(bond.elements == (small.symbols[bond.i], small.symbols[bond.j]) for bond in bonds)
    assert all(bond.icohp < 0.0 for bond in bonds if bond.distance < 2.7)


def test_moving_and_renumbering_the_atoms_changes_no_label(small, matrix):
    order = np.random.default_rng(1).permutation(len(small))
    moved = small[order]
    moved.positions += [1.0, -2.0, 0.5]
    moved.wrap()
    assert icohp_matrix(moved) == pytest.approx(matrix[np.ix_(order, order)], rel=1e-4, abs=1e-3)


def test_a_field_that_does_not_converge_gives_no_labels(small):
    with pytest.raises(Refused, match=r"GFN1-xTB gives no labels for AlCu.*: SCF not converged in 3 cycles"):
        label(small, 1.8, 3.1, iterations=3)


def test_an_element_that_the_method_does_not_know_is_refused():
    with pytest.raises(Refused, match="No support for elements with Z >86"):
        label(_small(elements=("Cu", "U")), 1.8, 3.1)


def test_a_cell_in_which_two_images_can_t_be_told_apart_is_refused(small):
    with pytest.raises(Refused, match=r"the cell is too small: .* is bonded to 2 images of .*; repeat the cell"):
        label(small)
    with pytest.raises(Refused, match=r"is bonded to 3 images of Cu1 \(itself\)"):
        label(Atoms("Cu", cell=[3.0] * 3, pbc=True), 1.8, 3.1)


def test_a_structure_without_bonds_or_boundaries_is_refused(small):
    with pytest.raises(Refused, match=r"no two atoms are within 2.0 Å"):
        label(_small(4.5), 1.8, 2.0)
    alone = small.copy()
    alone.pbc = (True, True, False)
    with pytest.raises(Refused, match="not periodic along c"):
        label(alone)


@pytest.fixture
def cell(tmp_path: Path, small: Atoms) -> Path:
    directory = tmp_path / "Cu50Zr50-1-00"
    directory.mkdir()
    structure_files.write(directory / "structure.xyz", small)
    return directory


def test_a_labeled_cell_is_a_calculation_whose_list_fits_its_structure(cell):
    count = label_cell(cell, SETTINGS, iterations=250)
    found = check(cell)
    assert found.method == "GFN1-xTB"
    assert count == len(found.bonds) == len(find(found.structure, 1.8, 3.1))
    assert len(match(found.structure, found.bonds, "ICOHPLIST.lobster")) == count
    said = json.loads((cell / "labels.json").read_text())
    assert (said["method"], said["bonds"], said["longest"]) == ("GFN1-xTB", count, 3.1)
    assert sorted(path.name for path in cell.iterdir()) == ["ICOHPLIST.lobster", "labels.json", "structure.xyz"]


def test_labels_are_made_once_and_never_in_place_of_others(cell, small):
    label_cell(cell, SETTINGS, iterations=250)
    before = (cell / "ICOHPLIST.lobster").read_bytes()
    assert label_cell(cell, SETTINGS, iterations=250) is None
    with pytest.raises(Refused, match="there are labels already, with another longest: remove them"):
        label_cell(cell, Settings(1.8, 3.2, 300.0), iterations=250)
    moved = small.copy()
    moved.positions[0] += 0.05
    structure_files.write(cell / "structure.xyz", moved)
    with pytest.raises(Refused, match="there are labels already, with another sha256"):
        label_cell(cell, SETTINGS, iterations=250)
    (cell / "labels.json").unlink()
    with pytest.raises(Refused, match=r"there are labels already that this command did not write"):
        label_cell(cell, SETTINGS, iterations=250)
    assert (cell / "ICOHPLIST.lobster").read_bytes() == before


def test_a_cell_that_is_refused_gets_no_labels(cell):
    with pytest.raises(Refused, match=r"Cu50Zr50-1-00/structure.xyz: .*not converged"):
        label_cell(cell, SETTINGS, iterations=2)
    assert [path.name for path in cell.iterdir()] == ["structure.xyz"]


def test_the_list_has_the_energies_to_five_decimals(cell, matrix):
    label_cell(cell, SETTINGS, iterations=250)
    for bond in icohplist.read(cell / "ICOHPLIST.lobster"):
        assert bond.icohp == pytest.approx(matrix[bond.i, bond.j], abs=1.1e-5)
