"""Descriptor definitions, and the SOAP vectors that they stand for."""

import dataclasses
import json
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
from ase import Atoms
from dscribe.descriptors import SOAP

from lammps_jobs.bonds.descriptors import definition
from lammps_jobs.bonds.descriptors.soap import DECIMALS, DEFAULT, Definition, Descriptor, Projection
from lammps_jobs.bonds.errors import Refused
from tests.lammps_jobs.crystals import crystal
from tests.serving import ROOT

pytestmark = pytest.mark.one_database

SMALL = Definition("small", ("Al", "Cu", "Zr"), 3.75, 4, 3, 1.0, Projection("gaussian", 16, seed=1), DEFAULT.dscribe)


@pytest.mark.parametrize("repeat", [(2, 2, 2), (2, 1, 1), (1, 1, 1)])
def test_periodic_images_are_neighbours_in_cells_of_any_size(repeat):
    cell = crystal(repeat, 5, shear=0.5)
    descriptor = Descriptor(SMALL)
    once, often = descriptor.atoms(cell), descriptor.atoms(cell.repeat((2, 2, 2)))
    assert np.abs(np.tile(once, (8, 1)) - often).max() < 3 * 10**-DECIMALS


def test_a_vector_is_the_projection_of_dscribes_scaled_to_length_one():
    cell = crystal((2, 2, 1), 6)
    cell.wrap()
    soap = SOAP(species=["Al", "Cu", "Zr"], r_cut=3.75, n_max=4, l_max=3, sigma=1.0, periodic=True).create(cell)
    unit = soap / np.linalg.norm(soap, axis=1)[:, None]
    matrix = np.random.RandomState(1).standard_normal((soap.shape[1], 16)) / 4
    assert np.allclose(Descriptor(SMALL).atoms(cell), unit @ matrix, atol=1e-7)
    assert np.allclose(Descriptor(SMALL).unprojected(cell), unit, atol=1e-12)


def test_order_and_place_of_the_atoms_do_not_matter():
    cell = crystal((2, 2, 1), 7)
    descriptor = Descriptor(SMALL)
    other = cell[::-1]
    other.positions += [1.0, 2.0, 3.0]
    other.rotate(30, "z", rotate_cell=True)
    assert np.allclose(descriptor.atoms(cell), descriptor.atoms(other)[::-1], atol=1e-7)


def test_it_is_the_same_in_another_process_bit_for_bit():
    code = (
        "import sys; from tests.lammps_jobs.crystals import crystal;"
        "from lammps_jobs.bonds.descriptors.soap import Descriptor;"
        "sys.stdout.buffer.write(Descriptor().atoms(crystal((2, 2, 2), 8)).tobytes())"
    )
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'client'}", "PYTHONHASHSEED": "7"}
    answers = [
        subprocess.run(
            [sys.executable, "-c", code], env=environment | {"OPENBLAS_NUM_THREADS": threads}, check=True,
            capture_output=True, cwd=ROOT,
        ).stdout
        for threads in ("1", "2")
    ]  # fmt: skip
    assert answers[0] == answers[1] == Descriptor().atoms(crystal((2, 2, 2), 8)).tobytes()


def test_whole_cells_by_which_an_atom_is_outside_do_not_matter():
    cell = crystal((2, 2, 2), 5)
    inside = cell.copy()
    inside.wrap()
    assert np.abs(cell.positions - inside.positions).max() > 7
    descriptor = Descriptor(SMALL)
    before = cell.positions.copy()
    assert np.abs(descriptor.atoms(cell) - descriptor.atoms(inside)).max() < 3 * 10**-DECIMALS
    assert np.array_equal(cell.positions, before)


def test_a_part_of_a_structure_is_described_as_in_the_whole():
    cell = crystal((3, 3, 3), 9)
    descriptor = Descriptor(SMALL)
    cell.wrap()
    block = cell.repeat((3, 3, 3))
    block.pbc = False
    middle = np.arange(13 * len(cell), 14 * len(cell))
    assert np.abs(descriptor.atoms_at(block, middle) - descriptor.atoms(cell)).max() < 3 * 10**-DECIMALS


def test_an_atom_alone_is_refused():
    cell = crystal((3, 3, 3), 10)
    cell.wrap()
    cell.set_cell(cell.cell.array + np.diag([0, 0, 30.0]))
    assert len(Descriptor(SMALL).atoms(cell)) == 108
    cell += Atoms("Zr", positions=[[0, 0, 28]])
    with pytest.raises(Refused, match=r"^atom 109 \(Zr\) has no neighbour within 3.75 Å: its environment is empty"):
        Descriptor(SMALL).atoms(cell)


def test_an_image_of_itself_is_company():
    assert len(Descriptor(SMALL).atoms(Atoms("Cu", cell=[3, 9, 9], pbc=True))) == 1


def test_an_unknown_element_is_refused_by_name():
    cell = crystal()
    cell.symbols[5] = "Fe"
    with pytest.raises(Refused, match="atom 6 is Fe, but the descriptor small knows Al, Cu, Zr only"):
        Descriptor(SMALL).atoms(cell)


def test_a_structure_without_images_is_refused():
    cell = crystal()
    cell.pbc = [True, True, False]
    with pytest.raises(Refused, match="not periodic along c"):
        Descriptor(SMALL).atoms(cell)


def test_no_atoms_have_no_vectors():
    assert Descriptor(SMALL).atoms(Atoms(cell=[4, 4, 4], pbc=True)).shape == (0, 16)


def test_another_version_of_dscribe_is_refused():
    other = dataclasses.replace(SMALL, dscribe="1.2.3")
    with pytest.raises(Refused, match=r"small is defined with DScribe 1.2.3, but \S+ is installed"):
        Descriptor(other)


def test_the_projection_keeps_scalar_products():
    cell = crystal((3, 3, 3), 11)
    cell.wrap()
    soap = SOAP(species=list(DEFAULT.species), r_cut=3.75, n_max=8, l_max=6, sigma=DEFAULT.sigma, periodic=True)
    unit = soap.create(cell)
    unit /= np.linalg.norm(unit, axis=1)[:, None]
    short = Descriptor().atoms(cell)
    assert np.corrcoef((unit @ unit.T).ravel(), (short @ short.T).ravel())[0, 1] > 0.9


def test_a_definition_survives_json_and_pickle_and_keeps_its_fingerprint():
    for one in (DEFAULT, SMALL):
        for copy in (
            Definition.from_json(json.dumps(one.as_json())),
            Definition.from_json(one.as_json()),
            pickle.loads(pickle.dumps(one)),
        ):
            assert copy == one and hash(copy) == hash(one) and copy.fingerprint == one.fingerprint


def test_a_fingerprint_tells_definitions_apart_by_everything_but_their_name():
    changes = [
        {"species": ("Cu", "Zr")}, {"r_cut": 4.0}, {"n_max": 5}, {"l_max": 4}, {"sigma": 0.5}, {"rbf": "polynomial"},
        {"projection": Projection("gaussian", 16, seed=2)}, {"projection": Projection("gaussian", 17, seed=1)},
        {"dscribe": "2.1.3"},
    ]  # fmt: skip
    prints = {dataclasses.replace(SMALL, **change).fingerprint for change in changes}
    assert len(prints) == len(changes) and SMALL.fingerprint not in prints
    assert dataclasses.replace(SMALL, name="other").fingerprint == SMALL.fingerprint
    assert dataclasses.replace(SMALL, sigma=1).fingerprint == SMALL.fingerprint


def test_a_definition_can_not_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        SMALL.r_cut = 4.0
    with pytest.raises(dataclasses.FrozenInstanceError):
        SMALL.projection.seed = 4


@pytest.mark.parametrize(
    "change, why",
    [
        ({"name": "a/b"}, "name has 1 to 64 letters"),
        ({"name": None}, "name has 1 to 64 letters"),
        ({"species": []}, "species are chemical elements"),
        ({"species": ["Cu", "Al"]}, "alphabetical order"),
        ({"species": ["Cu", "Cu"]}, "alphabetical order"),
        ({"species": ["Cu", "Xx"]}, "species are chemical elements"),
        ({"species": ["Cu", 30]}, "species are chemical elements"),
        ({"species": "CuZr"}, "species is a list"),
        ({"r_cut": 0.5}, "r_cut is a number from 1 to 20 Å"),
        ({"r_cut": float("nan")}, "r_cut is a number"),
        ({"r_cut": "4"}, "r_cut is a number"),
        ({"sigma": 0}, "sigma is a number"),
        ({"n_max": 8.0}, "n_max is a whole number from 1 to 20"),
        ({"l_max": True}, "l_max is a whole number"),
        ({"rbf": "gaussian"}, "rbf is"),
        ({"normalisation": "none"}, "normalisation is 'unit'"),
        ({"dscribe": 2}, "dscribe is a version"),
        ({"colour": 1}, "has no field 'colour'"),
        ({"projection": {"kind": "pca", "size": 4}}, "kind is 'gaussian' or 'basis'"),
        ({"projection": {"kind": "gaussian", "size": 4}}, "projection.seed is a whole number"),
        ({"projection": {"kind": "gaussian", "size": 0, "seed": 1}}, "projection.size"),
        ({"projection": {"kind": "gaussian", "size": 4, "seed": -1}}, "projection.seed"),
        ({"projection": {"kind": "gaussian", "size": 4, "seed": 1, "basis": "a"}}, "no basis"),
        ({"projection": {"kind": "basis", "size": 4, "basis": "../a", "sha256": "0" * 64}}, "projection.basis"),
        ({"projection": {"kind": "basis", "size": 4, "basis": "a", "sha256": "zz"}}, "projection.sha256"),
        ({"projection": {"kind": "basis", "size": 4, "seed": 1, "basis": "a", "sha256": "0" * 64}}, "has no seed"),
        ({"projection": {"size": 4}}, "needs the field 'kind'"),
        ({"projection": None}, "projection is a JSON object"),
    ],
)
def test_a_definition_that_can_not_be_is_refused_with_the_field_and_the_value(change, why):
    with pytest.raises(Refused, match=why):
        Definition.from_json(SMALL.as_json() | change)


@pytest.mark.parametrize("text", ["", "[]", "3", "{", '{"name": "a"}', b"\xff"])
def test_what_is_no_definition_at_all_is_refused(text):
    with pytest.raises(Refused, match="descriptor definition"):
        Definition.from_json(text)


@pytest.fixture
def bases(tmp_path, monkeypatch):
    """A basis of 5 components for the small definition's vectors."""
    rows = np.linalg.qr(np.random.default_rng(0).normal(size=(312, 5)))[0].T
    np.save(tmp_path / "five.npy", rows.astype(np.float32))
    monkeypatch.setattr(definition, "BASES", tmp_path)
    return tmp_path


def test_a_basis_projects_too_and_is_known_by_its_checksum(bases):
    length = Descriptor(SMALL).length
    np.save(bases / "five.npy", np.eye(5, length, dtype=np.float32))
    by_basis = dataclasses.replace(SMALL, projection=Projection.by_basis("five", bases))
    matrix = by_basis.projection.matrix(length, bases)
    assert np.array_equal(matrix, np.eye(length, 5))
    np.save(bases / "five.npy", 2 * np.eye(5, length, dtype=np.float32))
    with pytest.raises(Refused, match="the basis five has the checksum"):
        by_basis.projection.matrix(length, bases)
    with pytest.raises(Refused, match="expected the shape"):
        Projection.by_basis("five", bases).matrix(length + 1, bases)


def test_a_basis_that_is_not_here_is_refused_and_says_which_are(bases):
    with pytest.raises(Refused, match=r"basis six can't be read .*; available: five"):
        Projection.by_basis("six", bases)
    (bases / "broken.npy").write_bytes(b"\x80\x04not an array")
    with pytest.raises(Refused, match="basis broken can't be read"):
        Projection.by_basis("broken", bases)
    np.save(bases / "nan.npy", np.full((2, 2), np.nan))
    with pytest.raises(Refused, match="matrix of finite numbers"):
        Projection.by_basis("nan", bases)


def test_a_basis_of_objects_is_not_unpickled(bases):
    np.save(bases / "objects.npy", np.array([{}, []], dtype=object), allow_pickle=True)
    with pytest.raises(Refused, match="basis objects can't be read"):
        Projection.by_basis("objects", bases)


def test_what_is_shipped_is_small_and_fits_the_default():
    shipped = list(definition.BASES.glob("*")) if definition.BASES.is_dir() else []
    assert sum(path.stat().st_size for path in shipped) < 1_000_000
    assert Descriptor().matrix.shape == (Descriptor().length, DEFAULT.projection.size)
