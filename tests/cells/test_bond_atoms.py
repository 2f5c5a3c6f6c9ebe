"""Which atoms a bond is between, from its type and its length."""

import numpy as np
import pytest

from server.cells import bond_atoms, structure
from server.cells.structure import Structure, Unreadable

pytestmark = pytest.mark.one_database


def disturbed(seed: int = 1, side: float = 3.1, times: int = 3, shift: float = 0.0) -> Structure:
    """A disturbed crystal of two elements; some atoms are outside of the cell."""
    rng = np.random.default_rng(seed)
    corners = np.stack(np.meshgrid(*[np.arange(times)] * 3, indexing="ij"), -1).reshape(-1, 3) * side
    positions = np.concatenate((corners, corners + side / 2)) + rng.normal(0, 0.1, (2 * times**3, 3)) + shift
    lattice = np.diag([side * times] * 3) + np.array([[0, 0, 0], [1.0, 0, 0], [0.5, 0.3, 0]])
    return Structure(["Cu"] * times**3 + ["Zr"] * times**3, positions, lattice)


def by_force(atoms: Structure, longest: float) -> set[tuple[int, ...]]:
    """Each pair of atoms within a distance once, found by trying all images."""
    found = set()
    for i in range(len(atoms)):
        for j in range(i, len(atoms)):
            for shift in np.ndindex(7, 7, 7):
                step = np.array(shift) - 3
                between = atoms.positions[j] + step @ atoms.lattice - atoms.positions[i]
                is_once = i < j or tuple(step) > (0, 0, 0)
                if is_once and np.linalg.norm(between) <= longest:
                    found.add((i, j, *step.tolist()))
    return found


@pytest.mark.parametrize("times, shift", [(1, 0.0), (2, 0.0), (2, -7.0)])
def test_all_pairs_are_found_once_also_across_edges_and_in_small_cells(times, shift):
    atoms = disturbed(times=times, shift=shift)
    found = bond_atoms.pairs(atoms, 4.2)
    listed = list(zip(found.i.tolist(), found.j.tolist(), *found.shift.T.tolist(), strict=True))
    assert len(set(listed)) == len(listed)
    assert set(listed) == by_force(atoms, 4.2)
    ends = atoms.positions[found.j] + found.shift @ atoms.lattice - atoms.positions[found.i]
    assert np.allclose(np.linalg.norm(ends, axis=1), found.distance)


@pytest.mark.parametrize("digits", [12, 5])
def test_bonds_find_their_atoms_in_any_order(digits):
    atoms = disturbed()
    found = bond_atoms.pairs(atoms, 3.8)
    order = np.random.default_rng(2).permutation(len(found.i))
    kinds = [
        "-".join(sorted((atoms.elements[i], atoms.elements[j]), reverse=True))
        for i, j in zip(found.i, found.j, strict=True)
    ]
    placed = bond_atoms.place(atoms, [kinds[index] for index in order], np.round(found.distance[order], digits))
    right = (
        (placed.i == found.i[order]) & (placed.j == found.j[order]) & (placed.shift == found.shift[order]).all(axis=1)
    )
    assert placed.is_certain.mean() > 0.95
    assert right.all() if digits == 12 else right.mean() > 0.98  # a rounded length may be that of another pair


def test_bonds_of_the_same_length_are_marked_and_each_has_its_own_atoms():
    side = 3.0
    corners = np.stack(np.meshgrid(*[np.arange(2)] * 3, indexing="ij"), -1).reshape(-1, 3) * side
    atoms = Structure(["Cu"] * 8, corners.astype(float), np.diag([2 * side] * 3))
    placed = bond_atoms.place(atoms, ["Cu-Cu"] * 24, np.full(24, side))
    assert not placed.is_certain.any()
    ends = {(i, j, *shift) for i, j, shift in zip(placed.i, placed.j, placed.shift.tolist(), strict=True)}
    assert len(ends) == 24
    assert (np.diff(placed.i) >= 0).all(), "in the order of their atoms"


def test_a_bond_that_fits_no_atoms_has_none():
    atoms = disturbed()
    length = float(bond_atoms.pairs(atoms, 3.5).distance.min())
    placed = bond_atoms.place(atoms, ["Zr-Cu", "Zr-Al", "Cu-Cu", "Zr-Cu"], np.array([0.5, np.nan, 99.0, -length]))
    assert placed.i.tolist() == [-1] * 4
    assert not placed.is_certain.any()


def test_a_type_that_names_no_elements_fits_any_atoms():
    atoms = disturbed()
    found = bond_atoms.pairs(atoms, 3.5)
    placed = bond_atoms.place(atoms, ["", "bond"], found.distance[[3, 7]])
    assert placed.i.tolist() == found.i[[3, 7]].tolist()


def test_too_many_pairs_are_refused(monkeypatch):
    monkeypatch.setattr(bond_atoms, "MOST_PAIRS", 10)
    with pytest.raises(Unreadable, match="more than 10 pairs of atoms"):
        bond_atoms.pairs(disturbed(), 3.5)


def test_a_structure_is_read_by_its_properties():
    text = '2\ncomment Lattice="4 0 0 0 5 0 0 0 6" Properties=id:I:1:pos:R:3:species:S:1:forces:R:3 pbc="T T T"\n'
    found = structure.read(text + "7 0 1 2 Cu 9 9 9\n8 3 4 5 Zr 9 9 9\n")
    assert found.elements == ["Cu", "Zr"]
    assert found.positions.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert found.lattice.diagonal().tolist() == [4, 5, 6]


@pytest.mark.parametrize(
    "text, said",
    [
        ("", "does not begin with the number of atoms"),
        ("x\n", "does not begin with the number of atoms"),
        ("99999\n", "it has 99,999 atoms, and at most 20,000 are drawn"),
        ('2\nLattice="4 0 0 0 5 0 0 0 6"\nCu 0 0 0\n', "the line of atom 2 has 0 columns"),
        ('1\nLattice="4 0 0 0 5 0 0 0 1e9"\nCu 0 0 0\n', "the Lattice is not a number of Å below a million"),
        ('1\nLattice="4 0 0 0 5 0 0 0 x"\nCu 0 0 0\n', "the Lattice is not a number"),
    ],
)
def test_what_is_wrong_with_a_structure_is_said(text, said):
    with pytest.raises(Unreadable, match=said):
        structure.read(text)


def test_the_published_cells_get_the_atoms_that_their_label_files_name(shared_data):
    from lammps_jobs.bonds.labels import calculation
    from lammps_jobs.bonds.labels.matching import match

    for name in ("Zr49Cu49Al2-21-00", "Zr45Cu45Al10-1-00", "Zr49Cu49Al2-21-08"):
        directory = shared_data / "bonds" / name
        cell = calculation.check(directory)
        bonds = match(cell.structure, cell.bonds, name)
        atoms = structure.read((directory / "structure.xyz").read_text())
        placed = bond_atoms.place(atoms, bonds.types(atoms.elements).tolist(), bonds.distance)
        assert (placed.i == bonds.i).all()
        assert (placed.j == bonds.j).all()
        assert (placed.shift == -bonds.translation).all()
        assert placed.is_certain.mean() > 0.99
