"""Bonds: all that a structure has, each once, images counted as they are; and those that a label file names."""

import itertools
from collections import Counter
from dataclasses import replace

import ase.io
import numpy as np
import pytest
from ase import Atoms

from lammps_jobs.bonds.errors import Refused
from lammps_jobs.bonds.labels import icohplist
from lammps_jobs.bonds.labels.matching import match
from lammps_jobs.bonds.structures.neighbours import Bonds, find
from lammps_jobs.bonds.types import Bond, BondsError, bond_type
from tests.lammps_jobs.crystals import crystal, labeled

pytestmark = pytest.mark.one_database

CELLS = {
    "large": crystal((3, 3, 3), 1),
    "smaller than twice the cutoff": crystal((2, 2, 1), 2),
    "smaller than the cutoff": crystal((1, 1, 1), 3),
    "sheared": crystal((2, 1, 1), 4, shear=1.7),
    "one atom": Atoms("Cu", cell=[[0, 1.9, 1.9], [1.9, 0, 1.9], [1.9, 1.9, 0]], pbc=True),
}


def _by_hand(structure: Atoms, shortest: float = 1.8, longest: float = 4.2) -> dict[tuple[int, ...], float]:
    """Every pair of every image within reach, one image after the other; a bond from its other end is left out."""
    found = {}
    scaled = structure.get_scaled_positions(wrap=False)
    heights = structure.cell.volume / np.linalg.norm(
        np.cross(structure.cell.array[[1, 2, 0]], structure.cell.array[[2, 0, 1]]), axis=1
    )
    reach = [int(np.ceil(longest / height + np.ptp(scaled[:, axis]))) for axis, height in enumerate(heights)]
    for shift in itertools.product(*(range(-n, n + 1) for n in reach)):
        vectors = structure.positions[None] - structure.positions[:, None] - np.array(shift) @ structure.cell.array
        distances = np.linalg.norm(vectors, axis=2)
        for i, j in np.argwhere((shortest <= distances) & (distances <= longest)).tolist():
            if (j, i, *(-n for n in shift)) not in found:
                found[i, j, *shift] = float(distances[i, j])
    return found


def _keys(bonds: Bonds) -> list[tuple[int, ...]]:
    return [(bond.i, bond.j, *bond.translation) for bond in bonds]


@pytest.mark.parametrize("structure", CELLS.values(), ids=CELLS.keys())
def test_it_finds_what_a_look_at_all_images_finds(structure):
    bonds = find(structure)
    expected = _by_hand(structure)
    turned = {(j, i, *(-n for n in shift)): length for (i, j, *shift), length in expected.items()}
    assert len(bonds) == len(expected) > 0
    for key, length in zip(_keys(bonds), bonds.distance, strict=True):
        assert (expected | turned)[key] == pytest.approx(length, abs=1e-9)


@pytest.mark.parametrize("structure", CELLS.values(), ids=CELLS.keys())
def test_a_supercell_has_each_bond_as_often_as_it_has_cells(structure):
    def lengths(atoms: Atoms) -> Counter:
        bonds = find(atoms)
        types = bonds.types(atoms.get_chemical_symbols())
        return Counter(zip(types.tolist(), np.round(bonds.distance, 6).tolist(), strict=True))

    once, often = lengths(structure), lengths(structure.repeat((2, 3, 2)))
    assert often == Counter({key: 12 * count for key, count in once.items()})


def test_each_bond_comes_once_in_the_order_of_its_atoms():
    bonds = find(CELLS["smaller than the cutoff"])
    keys = _keys(bonds)
    assert len(set(keys)) == len(keys)
    assert not {(j, i, -a, -b, -c) for i, j, a, b, c in keys} & set(keys)
    assert all(bond.i <= bond.j for bond in bonds)
    own = [bond.translation for bond in bonds if bond.i == bond.j]
    assert own and all(next(n for n in shift if n) > 0 for shift in own)
    order = [(bond.i, bond.j, bond.distance) for bond in bonds]
    assert order == sorted(order)


def test_wrapping_atoms_into_the_cell_changes_translations_and_nothing_else():
    structure = CELLS["sheared"]
    wrapped = structure.copy()
    wrapped.wrap()
    before, after = find(structure), find(wrapped)
    assert not np.array_equal(before.translation, after.translation)
    assert np.allclose(before.distance, after.distance) and np.array_equal(before.i, after.i)
    for atoms, bonds in ((structure, before), (wrapped, after)):
        vectors = atoms.positions[bonds.j] - (atoms.positions[bonds.i] + bonds.translation @ atoms.cell.array)
        assert np.allclose(np.linalg.norm(vectors, axis=1), bonds.distance)


def test_both_cutoffs_are_included():
    pair = Atoms("Cu2", positions=[[0, 0, 0], [0, 0, 2.5]], cell=[20, 20, 20], pbc=True)
    assert len(find(pair, 2.5, 4.2)) == len(find(pair, 1.8, 2.5)) == 1
    assert len(find(pair, np.nextafter(2.5, 3), 4.2)) == len(find(pair, 1.8, np.nextafter(2.5, 2))) == 0


def test_a_type_is_the_same_from_both_ends():
    assert bond_type("Cu", "Zr") == bond_type("Zr", "Cu") == "Zr-Cu"
    bonds = Bonds(np.array([0, 1, 1]), np.array([1, 1, 2]), np.zeros((3, 3), dtype=int), np.ones(3))
    assert bonds.types(["Al", "Zr", "Cu"]).tolist() == ["Zr-Al", "Zr-Zr", "Zr-Cu"]


@pytest.mark.parametrize(
    "structure, why",
    [
        (Atoms("Cu2", positions=[[0, 0, 0], [0, 0, 2.5]]), "not periodic along a, b, c"),
        (Atoms("Cu", cell=[4, 4, 4], pbc=[True, False, True]), "not periodic along b"),
        (Atoms("Cu", cell=[4, 4, 0], pbc=True), "has no volume"),
        (Atoms("Cu", cell=[[4, 0, 0], [0, 4, 0], [4, 4, 0]], pbc=True), "has no volume"),
        (Atoms("Cu2", positions=[[0, 0, 0], [0, np.nan, 2]], cell=[4, 4, 4], pbc=True), "atom 2 has the position"),
        (Atoms("Cu", positions=[[np.inf, 0, 0]], cell=[4, 4, 4], pbc=True), "atom 1 has the position"),
    ],
)
def test_a_structure_without_periodic_images_is_refused(structure, why):
    with pytest.raises(BondsError, match=why):
        find(structure)


@pytest.mark.parametrize("limits", [(4.2, 1.8), (-1.0, 4.2), (1.8, np.inf), (1.8, np.nan)])
def test_cutoffs_that_make_no_sense_are_refused(limits):
    with pytest.raises(ValueError, match="shortest < longest"):
        find(CELLS["large"], *limits)


def test_an_empty_cell_has_no_bonds():
    assert list(find(Atoms(cell=[4, 4, 4], pbc=True))) == []


@pytest.mark.parametrize("structure", CELLS.values(), ids=CELLS.keys())
def test_labels_of_a_structure_match_its_bonds_in_their_own_order(structure):
    labels = labeled(structure)[::-1]
    bonds = match(structure, labels, "list")
    assert list(bonds) == [replace_distance(one, bond) for one, bond in zip(bonds, labels, strict=True)]


def replace_distance(exact: Bond, label: Bond) -> Bond:
    assert exact.distance == pytest.approx(label.distance, abs=1e-5)
    return Bond(label.i, label.j, label.translation, exact.distance)


def test_a_file_that_shifts_the_second_atom_instead_is_understood():
    structure = CELLS["smaller than twice the cutoff"]
    labels = labeled(structure)
    turned = [replace(bond, translation=tuple(-n for n in bond.translation)) for bond in labels]
    assert list(match(structure, turned, "list")) == list(match(structure, labels, "list"))


def test_a_file_that_mixes_both_ways_is_refused():
    structure = CELLS["large"]
    labels = labeled(structure)
    shifted = [number for number, bond in enumerate(labels) if any(bond.translation)][::2]
    for number in shifted:
        labels[number] = replace(labels[number], translation=tuple(-n for n in labels[number].translation))
    with pytest.raises(Refused, match=r"Å long here"):
        match(structure, labels, "list")


def test_a_bond_listed_from_its_later_atom_is_that_bond():
    structure = CELLS["large"]
    labels = labeled(structure)
    one = labels[7]
    labels[7] = replace(
        one, i=one.j, j=one.i, elements=one.elements[::-1], translation=tuple(-n for n in one.translation)
    )
    assert match(structure, labels, "list")[7].i == one.i


def _broken(change):
    structure = CELLS["large"]
    labels = labeled(structure)
    change(labels)
    return structure, labels


def _another_element(labels):
    labels[3] = replace(labels[3], elements=("Fe", labels[3].elements[1]))


def _no_such_atom(labels):
    labels[4] = replace(labels[4], j=108)


def _another_length(labels):
    labels[5] = replace(labels[5], distance=labels[5].distance + 0.002)


def _no_length(labels):
    labels[5] = replace(labels[5], distance=float("nan"))


def _another_image(labels):
    labels[6] = replace(labels[6], translation=tuple(n + 1 for n in labels[6].translation))


def _itself(labels):
    labels[2] = replace(labels[2], j=labels[2].i, elements=(labels[2].elements[0],) * 2, translation=(0, 0, 0))


def _twice(labels):
    labels.insert(9, replace(labels[1], line=777))


def _twice_from_the_other_end(labels):
    one = labels[1]
    turned = tuple(-n for n in one.translation)
    labels.append(replace(one, i=one.j, j=one.i, elements=one.elements[::-1], translation=turned, icohp=-1.0, line=888))


def _one_missing(labels):
    del labels[40]


def _truncated(labels):
    del labels[len(labels) // 2 :]


@pytest.mark.parametrize(
    "change, why",
    [
        (_another_element, r"^cell/list:5: atom 1 is Fe here and \w\w in the structure"),
        (_no_such_atom, r"^cell/list:6: atom \w\w109, but the structure has 108 atoms"),
        (_another_length, r"^cell/list:7: .* Å long here and .* Å in the structure \(1 of \d+ bonds differ"),
        (_no_length, r"^cell/list:7: .* nan Å long here"),
        (_another_image, r"^cell/list:8: .* Å long here and .* Å in the structure \(1 of"),
        (_itself, r"^cell/list:4: atom \w\w1 is bonded to itself"),
        (_twice, r"^cell/list:777: .* is the bond of line 3, .*, again: listed twice"),
        (_twice_from_the_other_end, r"^cell/list:888: .* is the bond of line 3, .*, again: listed twice"),
        (_one_missing, r"^cell/list: .* is missing, although shorter and longer"),
        (_truncated, r"^cell/list: .* is missing, although shorter and longer"),
        (list.clear, r"^cell/list: no bonds are listed"),
    ],
)
def test_a_list_that_does_not_fit_its_structure_is_refused_with_line_and_reason(change, why):
    with pytest.raises(Refused, match=why):
        match(*_broken(change), "cell/list")


def test_a_selection_of_bonds_is_matched_where_that_is_asked_for():
    structure, labels = _broken(_truncated)
    assert len(match(structure, labels, "list", complete=False)) == len(labels)


def test_an_image_of_an_atom_listed_in_both_directions_is_one_bond_twice():
    structure = CELLS["one atom"]
    labels = labeled(structure)
    labels.append(replace(labels[0], translation=tuple(-n for n in labels[0].translation), line=99))
    with pytest.raises(Refused, match=r"list:99: Cu1 Cu1 .* listed twice"):
        match(structure, labels, "list")


def test_two_images_at_the_same_distance_are_two_bonds():
    structure = Atoms("CuZr", positions=[[0, 0, 0], [1.9, 1.9, 1.9]], cell=[3.8, 3.8, 3.8], pbc=True)
    bonds = match(structure, labeled(structure), "list")
    assert sum(bonds.types(["Cu", "Zr"]) == "Zr-Cu") == 8
    assert len(bonds) == 8 + 3 + 3


def test_every_reference_cell_lists_exactly_the_bonds_that_its_structure_has(shared_data):
    lists = sorted(shared_data.glob("bonds/*/ICOHPLIST.lobster"))
    assert lists
    for path in lists:
        structure = ase.io.read(path.with_name("structure.xyz"))
        bonds = match(structure, icohplist.read(path), str(path))
        assert set(_keys(bonds)) == set(_keys(find(structure)))
