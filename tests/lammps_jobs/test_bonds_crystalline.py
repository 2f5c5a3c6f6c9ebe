"""Crystals are told from glasses, and a melt that crystallised is not handed on as a glass."""

import json

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from tailrace.programs import StepRefused

from lammps_jobs.bonds.generation.crystalline import crystalline_share
from lammps_jobs.programs import in_job
from lammps_jobs.programs.glass import Glass
from lammps_jobs.programs.jobs import glass as job
from tests.lammps_jobs.steps import at, step_of

pytestmark = pytest.mark.one_database

CRYSTALS = {
    "fcc": bulk("Cu", cubic=True).repeat(3),
    "bcc": bulk("Fe", cubic=True).repeat(4),
    "hcp": bulk("Zr", "hcp", orthorhombic=True).repeat((4, 3, 2)),
    "large": bulk("Fe", cubic=True).repeat(10),
}


@pytest.mark.parametrize("name", CRYSTALS)
def test_a_warm_crystal_is_crystalline(name):
    warm = CRYSTALS[name].copy()
    warm.positions += np.random.default_rng(0).normal(0, 0.15, warm.positions.shape)
    assert crystalline_share(warm) > 0.95


def test_disorder_is_not_and_a_small_cell_is_not_judged():
    random = np.random.default_rng(1)
    gas = Atoms("Cu100", positions=random.uniform(-20, 20, (100, 3)), cell=[11.9] * 3, pbc=True)
    assert crystalline_share(gas) < 0.05
    assert crystalline_share(gas[:32]) is None


def test_a_melt_that_crystallised_fails_with_the_reason(tmp_path, monkeypatch):
    program = Glass(at())
    step = step_of(program, {"composition": "Cu"})
    program.prepare(step, tmp_path)
    monkeypatch.setattr(job, "melt_quench", lambda *given: CRYSTALS["fcc"])
    assert in_job._run(job, tmp_path) == 1
    verdict = program.validate(step, tmp_path, 1)
    assert (verdict.state, verdict.cause) == ("failed", "crystalline")
    assert "100% of its atoms" in verdict.reason and "quench faster than 10 K/ps" in verdict.reason
    assert not (tmp_path / job.STRUCTURE).exists()
    assert program.correct(step, tmp_path, verdict) is None


def test_elements_that_the_potential_lacks_are_refused_before_the_job_with_those_that_it_has(tmp_path):
    program = Glass(at())
    with pytest.raises(StepRefused, match="has Cu, Zr, not Al; choose elements that it has"):
        program.prepare(step_of(program, {"composition": "Zr49Cu49Al2"}), tmp_path)
    assert not list(tmp_path.iterdir())
    program.prepare(step_of(program, {"composition": "Cu50Zr50"}), tmp_path)
    assert json.loads((tmp_path / "input.json").read_text())["settings"]["composition"] == "Cu50Zr50"
