"""A calculation that converged to what can't be gives no labels; every sound one passes."""

import numpy as np
import pytest
from ase import Atoms
from ase.units import Bohr, Hartree
from tblite import interface
from tblite.interface import Calculator

from lammps_jobs.bonds.errors import Refused
from lammps_jobs.bonds.labels.label_files import Settings, label_cell
from lammps_jobs.bonds.labels.plausibility import (
    MOST_IN_ORBITAL,
    STRONGEST,
    WEAKEST,
    require_density,
    require_energies,
    valence_electrons,
)
from lammps_jobs.bonds.labels.tblite_labels import label
from lammps_jobs.bonds.structures import structure_files
from lammps_jobs.bonds.types import LabeledBond

pytestmark = pytest.mark.one_database

METHOD = "GFN1-xTB"


def _crystal():
    atoms = Atoms(("Cu", "Zr"), scaled_positions=[(0, 0, 0), (0.5, 0.5, 0.5)], cell=[3.3] * 3, pbc=True).repeat(2)
    atoms.positions += np.random.default_rng(4).uniform(-0.2, 0.2, (16, 3))
    return atoms


def _calculated(atoms):
    lattice = {"lattice": atoms.cell.array / Bohr, "periodic": np.array([True] * 3)} if atoms.pbc.all() else {}
    calculator = Calculator(METHOD, atoms.numbers, atoms.positions / Bohr, **lattice)
    calculator.set("verbosity", 0)
    calculator.set("save-integrals", 1)
    return calculator, calculator.singlepoint()


@pytest.fixture(scope="module")
def sound():
    """What `require_density` is asked about a small crystal."""
    atoms = _crystal()
    calculator, result = _calculated(atoms)
    owner = calculator.get("shell-map")[calculator.get("orbital-map")]
    names = ("density-matrix", "overlap-matrix", "orbital-occupations")
    return atoms, METHOD, owner, *(result.get(name) for name in names)


def test_a_sound_density_passes(sound):
    require_density(*sound)


@pytest.mark.parametrize(
    ("element", "number", "electrons"),
    [("H", 1, 1), ("Al", 13, 3), ("Cu", 29, 11), ("Zr", 40, 4), ("Pt", 78, 10), ("Hg", 80, 2)],
)
def test_valence_electrons_are_those_of_the_elements_outer_shells(element, number, electrons):
    assert valence_electrons(number, METHOD) == electrons, element


def test_a_density_that_lacks_electrons_is_refused_also_if_its_orbitals_lack_them_too(sound):
    atoms, method, owner, density, overlap, occupations = sound
    with pytest.raises(Refused, match=r"lost electrons: its density holds 118\.8.*Cu8Zr8 has 120 valence electrons"):
        require_density(atoms, method, owner, 0.99 * density, overlap, occupations)
    with pytest.raises(Refused, match="its orbitals hold 118"):
        require_density(atoms, method, owner, density, overlap, 0.99 * occupations)
    with pytest.raises(Refused, match="lost electrons"):
        require_density(atoms, method, owner, 1.01 * density, overlap, 1.01 * occupations)
    with pytest.raises(Refused, match="lost electrons: its density holds nan"):
        require_density(atoms, method, owner, np.nan * density, overlap, occupations)


@pytest.mark.parametrize(("moved", "where"), [(3.0, 40), (-3.0, 77)])
def test_an_orbital_of_more_electrons_than_two_or_fewer_than_none_is_refused(sound, moved, where):
    """Electrons go from one orbital into another: their number stays."""
    atoms, method, owner, density, overlap, occupations = sound
    absurd = density.copy()
    for orbital, share in ((where, moved), (0, -0.1 * moved), (9, -0.9 * moved)):
        absurd[orbital, orbital] += share / overlap[orbital, orbital]  # with its own images it isn't quite 1
    first = min(orbital for orbital in range(len(absurd)) if not -1e-6 <= absurd[orbital, orbital] <= MOST_IN_ORBITAL)
    atom = owner[first]
    said = (
        rf"impossible state: an orbital of {atoms.symbols[atom]}{atom + 1} holds {absurd[first, first]:.2f} electrons"
    )
    with pytest.raises(Refused, match=said):
        require_density(atoms, method, owner, absurd, overlap, occupations)


def _bond(strength):
    return LabeledBond(2, 30, (0, 0, 1), 2.71, ("Cu", "Zr"), -strength)


@pytest.mark.parametrize("strength", [115.0, -115.0, float("nan"), float("inf")])
def test_a_bond_stronger_or_weaker_than_any_is_refused_by_name(strength):
    with pytest.raises(
        Refused, match=rf"Cu3 and Zr31, 2\.71 Å apart, have a -ICOHP of {strength:.2f} eV, expected -10 to 70"
    ):
        require_energies([_bond(2.0), _bond(strength), _bond(0.1)], METHOD)


def test_the_bounds_of_an_energy_belong_to_them():
    require_energies([_bond(WEAKEST), _bond(STRONGEST)], METHOD)


@pytest.mark.parametrize(
    ("element", "distance", "least", "most"),
    [("N", 1.1, 40, 43), ("Mo", 1.94, 49, 53), ("Os", 1.8, 62, 67), ("Cu", 2.22, 12, 15), ("Ne", 1.8, -4, -2)],
)
def test_the_strongest_bonds_and_full_shells_that_are_pressed_together_are_within_the_bounds(
    element, distance, least, most
):
    calculator, result = _calculated(Atoms([element] * 2, [(0, 0, 0), (distance, 0, 0)]))
    first = calculator.get("shell-map")[calculator.get("orbital-map")] == 0
    density = result.get("density-matrix")
    products = density * result.get("hamiltonian-matrix")
    assert least < -2 * products[np.ix_(first, ~first)].sum() * Hartree < most
    assert least > WEAKEST
    assert most < STRONGEST
    assert np.diag(density).min() >= -1e-6
    assert np.diag(density).max() < 2.1 < MOST_IN_ORBITAL


class _Absurd:
    """A calculation that ends as any other does, and says something else of two atoms."""

    def __init__(self, result, change):
        self._result, self._change = result, change

    def get(self, name):
        found = self._result.get(name)
        return self._change(found) if name == "hamiltonian-matrix" else found


@pytest.mark.parametrize("factor", [1000.0, -1000.0])
def test_nothing_is_written_of_a_cell_whose_converged_calculation_is_absurd(tmp_path, monkeypatch, factor):
    def strengthened(hamiltonian):
        hamiltonian = hamiltonian.copy()
        hamiltonian[:9, 9:18] *= factor
        hamiltonian[9:18, :9] *= factor
        return hamiltonian

    class Strange(Calculator):
        def singlepoint(self, *arguments, **options):
            return _Absurd(super().singlepoint(*arguments, **options), strengthened)

    monkeypatch.setattr(interface, "Calculator", Strange)
    atoms = _crystal()
    with pytest.raises(Refused, match=r"converged to an impossible state: Cu1 and Zr2, 2\.\d\d Å apart"):
        label(atoms, 1.8, 3.1)
    cell = tmp_path / "Cu50Zr50-1-00"
    cell.mkdir()
    structure_files.write(cell / "structure.xyz", atoms)
    with pytest.raises(Refused, match=r"Cu50Zr50-1-00/structure.xyz: GFN1-xTB converged to an impossible state"):
        label_cell(cell, Settings(1.8, 3.1, 300.0), iterations=250)
    assert [path.name for path in cell.iterdir()] == ["structure.xyz"]
