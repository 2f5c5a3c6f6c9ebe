"""Glasses from LAMMPS: the atoms that were asked for, at the density of a glass; the same again for the same seed."""

from pathlib import Path

import numpy as np
import pytest

from lammps_jobs.bonds.errors import Refused
from lammps_jobs.bonds.generation.composition import Composition
from lammps_jobs.bonds.generation.melt_quench import MINIMIZATION, Quench, _work_done, melt_quench, random_start
from lammps_jobs.bonds.generation.potential import Potential
from lammps_jobs.bonds.structures import structure_files
from lammps_jobs.runs.lammps_job import INPUTS, Programs, potentials

pytestmark = pytest.mark.one_database

FAST = {"melt": 1.0, "rate": 1700.0, "hold": 0.5}
CU_ZR = Composition.parse("Cu50Zr50")


def _make(directory: Path, quench: Quench) -> tuple[structure_files.Atoms, list[int]]:
    directory.mkdir(exist_ok=True)
    seen: list[int] = []
    return melt_quench(quench, directory, Programs.find(), seen.append), seen


@pytest.mark.parametrize(
    ("text", "atoms", "counts"),
    [
        ("Cu50Zr50", 100, {"Cu": 50, "Zr": 50}),
        ("Zr49Cu49Al2", 100, {"Zr": 49, "Cu": 49, "Al": 2}),
        ("CuZr", 54, {"Cu": 27, "Zr": 27}),
        ("CuZr2", 100, {"Cu": 33, "Zr": 67}),
        ("Al0.5Cu0.5Zr1", 10, {"Al": 3, "Cu": 2, "Zr": 5}),
        ("Cu64.5Zr35.5", 10_000, {"Cu": 6450, "Zr": 3550}),
    ],
)
def test_a_composition_is_as_near_as_whole_atoms_come(text, atoms, counts):
    assert Composition.parse(text).counts(atoms) == counts


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "'' is not a composition"),
        ("cuzr", "'cuzr' is not a composition"),
        ("Cu50-Zr50", "is not a composition"),
        ("Cu50Xx50", "'Xx' in 'Cu50Xx50' is not an element"),
        ("Cu50Cu50", "'Cu' in 'Cu50Cu50' is repeated"),
        ("Cu0Zr1", "the share of Cu in 'Cu0Zr1' is 0"),
    ],
)
def test_what_is_no_composition_is_refused(text, reason):
    with pytest.raises(Refused, match=reason):
        Composition.parse(text)


def test_so_few_atoms_that_an_element_gets_none_are_refused():
    with pytest.raises(Refused, match="10 atoms of Zr49Cu49Al2 are too few: there would be no Al"):
        Composition.parse("Zr49Cu49Al2").counts(10)


@pytest.mark.parametrize("atoms", [2, 16, 100, 1000])
def test_a_start_is_the_seed_s_own_and_has_no_two_atoms_in_one_place(atoms):
    start, again = (random_start(Quench(CU_ZR, atoms, seed=5)) for _ in range(2))
    other = random_start(Quench(CU_ZR, atoms, seed=6))
    structure_files.check(start)
    assert start.get_chemical_symbols().count("Cu") == atoms // 2
    assert np.array_equal(start.positions, again.positions)
    assert not np.array_equal(start.positions, other.positions)


def test_lammps_makes_a_glass_and_the_same_one_for_the_same_seed(tmp_path):
    quench = Quench(CU_ZR, 54, seed=3, **FAST)
    glass, seen = _make(tmp_path / "a place with blanks", quench)
    assert glass.get_chemical_symbols() == ["Cu"] * 27 + ["Zr"] * 27
    assert glass.pbc.all()
    assert 15.0 < glass.get_volume() / 54 < 21.0
    inside = glass.get_scaled_positions(wrap=False)
    assert inside.min() >= 0.0
    assert inside.max() < 1.0
    assert seen == sorted(seen)
    assert 0 <= seen[0] <= seen[-1] <= quench.work == MINIMIZATION + quench.steps == 2250
    again, _ = _make(tmp_path / "again", quench)
    assert np.array_equal(again.positions, glass.positions)
    other, _ = _make(tmp_path / "other", Quench(CU_ZR, 54, seed=4, **FAST))
    assert not np.allclose(other.positions, glass.positions, atol=0.1)


def test_another_potential_makes_another_glass_in_the_order_of_the_composition(tmp_path):
    potential = Potential.read(potentials() / "AlCu.eam.alloy")
    assert (potential.style, potential.elements) == ("eam/alloy", ("Al", "Cu"))
    glass, _ = _make(tmp_path / "md", Quench(Composition.parse("Cu3Al1"), 16, potential, **FAST))
    assert glass.get_chemical_symbols() == ["Cu"] * 12 + ["Al"] * 4


def test_more_processes_make_a_glass_too(tmp_path):
    glass, _ = _make(tmp_path / "md", Quench(CU_ZR, 54, processes=2, melt=0.2, rate=17_000.0, hold=0.1))
    assert len(glass) == 54


def test_elements_that_a_potential_does_not_know_are_refused_before_anything_runs():
    with pytest.raises(Refused, match=r"CuZr_mm.eam.fs: the potential knows Cu, Zr, not Al: give another"):
        Quench(Composition.parse("Zr49Cu49Al2"), 100)


def test_a_file_that_is_no_potential_is_refused(tmp_path):
    path = tmp_path / "zr.eam.alloy"
    for text in ("", "one\ntwo\nthree\n2 Cu\n", "one\ntwo\nthree\nfour five\n"):
        path.write_text(text)
        with pytest.raises(Refused, match=r"zr.eam.alloy:4: expected the number of elements and their names"):
            Potential.read(path)


def test_what_lammps_says_of_a_broken_potential_is_the_reason(tmp_path):
    path = tmp_path / "cut.eam.alloy"
    path.write_text((potentials() / "AlCu.eam.alloy").read_text()[:2000])
    with pytest.raises(Refused, match=r"log.lammps: no glass was made of CuAl: LAMMPS stopped with ERROR"):
        _make(tmp_path / "md", Quench(Composition.parse("CuAl"), 16, Potential.read(path), **FAST))
    assert not (tmp_path / "md" / "glass.dump").exists()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"hot": 300.0}, "expected two temperatures, the first one higher"),
        ({"cold": 0.0}, "expected two temperatures"),
        ({"hot": float("nan")}, "expected two temperatures"),
        ({"rate": 0.0}, "expected a rate above 0"),
        ({"melt": -1.0}, "expected a rate above 0 and times of at least 0"),
        ({"hold": float("inf")}, "times of at least 0"),
        ({"seed": 0}, "a seed of 0: expected 1 to"),
        ({"seed": 2**31}, "expected 1 to 2147483647"),
    ],
)
def test_what_no_quench_can_be_is_refused(options, reason):
    with pytest.raises(Refused, match=reason):
        Quench(CU_ZR, 16, **options)


@pytest.mark.parametrize(
    ("written", "steps"),
    [
        (b"minimize 0.0 1.0e-2 1000 10000\n   Step  Temp\n    0  1.0\n   48  2.0\n", 48),
        (b"minimize 0.0\n   48  2.0\nMinimization stats:\nreset_timestep  0\n", 1000),
        (b"minimize 0.0\n   48  2.0\nreset_timestep  0\nrun 100\n    0  1.0\n   12  2.0\n", 1012),
        (b"   990  1.0\n   1000  2.0\n", 2000),
        (b"", 0),
    ],
)
def test_the_steps_of_the_minimization_are_progress(tmp_path, written, steps):
    log = tmp_path / "log.lammps"
    log.write_bytes(written)
    assert _work_done(log) == steps
    assert f"minimize        0.0 1.0e-2 {MINIMIZATION} " in (INPUTS / "quench.in").read_text()
