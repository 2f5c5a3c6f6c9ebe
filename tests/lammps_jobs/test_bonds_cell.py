"""A labeled cell becomes observations, whole or not at all."""

import json
from dataclasses import replace

import ase.io
import numpy as np
import pytest

from lammps_jobs.bonds.descriptors.soap import DEFAULT, Descriptor
from lammps_jobs.bonds.errors import Refused
from lammps_jobs.bonds.labels import icohplist
from lammps_jobs.bonds.learning.cell_observations import described, observations
from lammps_jobs.bonds.types import bond_type
from tests.lammps_jobs.crystals import crystal, labeled
from tests.lammps_jobs.test_bonds_soap import SMALL

pytestmark = pytest.mark.one_database


def test_every_bond_becomes_one_observation_in_the_order_of_its_file():
    structure = crystal((2, 2, 2), 12)
    labels = labeled(structure)[::-1]
    descriptor = Descriptor(SMALL)
    atoms = descriptor.atoms(structure)
    points = observations(structure, labels, descriptor, "list")
    assert len(points) == len(labels)
    for (x, y), label in zip(points, labels, strict=True):
        assert list(x) == ["bond", "distance", *(f"s{n}" for n in range(16))]
        assert x["bond"] == bond_type(*label.elements) and y == -label.icohp > 0
        assert x["distance"] == pytest.approx(label.distance, abs=1e-5)
        half = 0.5 * (atoms[label.i] + atoms[label.j])
        assert [x[f"s{n}"] for n in range(16)] == pytest.approx(half.tolist(), abs=1e-9)


def test_observations_are_plain_data_that_json_keeps_bit_for_bit():
    structure = crystal((2, 1, 1), 13)
    points = observations(structure, labeled(structure), Descriptor(SMALL), "list")
    assert [tuple(point) for point in json.loads(json.dumps(points))] == points
    longest = max(len(repr(value)) for x, _ in points for name, value in x.items() if name.startswith("s"))
    assert longest <= len("-0.123456789")


def test_columns_and_observations_say_the_same():
    structure = crystal((2, 2, 1), 14)
    cell = described(structure, labeled(structure), Descriptor(SMALL), "list")
    points = cell.observations()
    assert len(cell) == len(points) == len(cell.bonds)
    assert [x["bond"] for x, _ in points] == cell.types.tolist()
    assert np.array_equal([[x[f"s{n}"] for n in range(16)] for x, _ in points], cell.soap)
    assert [y for _, y in points] == cell.strength.tolist()


def _nothing(structure, labels):
    labels.clear()


def _foreign(structure, labels):
    structure.symbols[0] = "Fe"


def _another_cell(structure, labels):
    structure.set_cell(1.01 * structure.cell.array, scale_atoms=True)


def _no_energy(structure, labels):
    labels[3] = replace(labels[3], icohp=float("nan"))


def _slab(structure, labels):
    structure.pbc = [True, True, False]


@pytest.mark.parametrize(
    "change, why",
    [
        (_nothing, "^run-1/list: no bonds"),
        (_foreign, "^run-1/xyz: atom 1 is Fe, but the descriptor small knows"),
        (_slab, "^run-1/xyz: .*not periodic along c"),
        (_another_cell, "^run-1/list:2: .* Å long here"),
        (_no_energy, "^run-1/list:5: .* ICOHP is nan"),
    ],
)
def test_one_thing_wrong_refuses_the_whole_cell_and_names_the_file(change, why):
    structure = crystal((2, 2, 1), 15)
    labels = labeled(structure)
    change(structure, labels)
    with pytest.raises(Refused, match=why):
        described(structure, labels, Descriptor(SMALL), "run-1/list", "run-1/xyz")


def test_an_atom_alone_in_a_reference_cell_refuses_it(shared_data):
    directory = sorted(shared_data.glob("bonds/*-00"))[0]
    structure = ase.io.read(directory / "structure.xyz")
    structure.set_cell(3 * structure.cell.array, scale_atoms=True)
    labels = labeled(crystal((1, 1, 1)))
    with pytest.raises(Refused, match=r"xyz: atom 1 .* no neighbour within 3.75 Å"):
        described(structure, labels, Descriptor(), "list", "xyz")


def test_every_reference_cell_becomes_observations(shared_data):
    descriptor = Descriptor()
    for path in sorted(shared_data.glob("bonds/*/ICOHPLIST.lobster")):
        labels = icohplist.read(path)
        cell = described(ase.io.read(path.with_name("structure.xyz")), labels, descriptor, str(path))
        assert len(cell) == len(labels) and cell.soap.shape == (len(labels), DEFAULT.projection.size)
        assert np.isfinite(cell.soap).all() and (cell.strength > 0).mean() > 0.9
