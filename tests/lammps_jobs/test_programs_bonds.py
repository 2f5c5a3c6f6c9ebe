"""The programs `glass`, `deform` and `bond-labels`, as a chain of real runs."""

from dataclasses import replace

import pytest
from tailrace.programs import ProgramUnavailable, StepRefused, run_analyses, walltime_observation

from lammps_jobs.programs.bond_labels import BondLabels
from lammps_jobs.programs.deform import Deform
from lammps_jobs.programs.glass import Glass
from tests.lammps_jobs.steps import HYDROGEN_PEROXIDE, at, parent_of, ran, step_of

pytestmark = pytest.mark.one_database

COPPER = """4
Lattice="{0} 0 0 0 {0} 0 0 0 {0}" Properties=species:S:1:pos:R:3 pbc="T T T"
Cu 0 0 0
Cu 0 {1} {1}
Zr {1} 0 {1}
Zr {1} {1} 0
"""


def test_a_glass_is_deformed_by_its_child_and_each_step_checks_what_it_was_given(tmp_path):
    glass, deform = Glass(at()), Deform(at())
    assert glass.version() and deform.version()
    step = step_of(glass, {"atoms": 50, "melt": 0.02, "hold": 0.02, "rate": 50000})
    assert ran(glass, step, tmp_path / "glass").state == "done"
    found = glass.extract(step, tmp_path / "glass").values
    assert (found["atoms"].value, found["crystalline share"].value < 0.1) == (50, True)
    assert 3 < found["density"].value < 12
    parent = parent_of(glass, step, tmp_path / "glass")
    child = step_of(deform, {"deformation": 13}, parents=[parent])
    assert ran(deform, child, tmp_path / "deform").state == "done"
    deformed = deform.extract(child, tmp_path / "deform").values
    assert deformed["volume"].value == pytest.approx(found["edge of the cell"].value ** 3 * 1.01**3, rel=1e-6)
    assert walltime_observation(deform, child, 1.0).x["atoms"] == 50, "those of the parent's structure"
    (tmp_path / "glass" / "structure.xyz").write_text("50\n\n")
    (tmp_path / "again").mkdir()
    with pytest.raises(StepRefused, match="was changed or cut off"):
        deform.prepare(child, tmp_path / "again")


def test_a_glass_that_can_not_be_made_says_why(tmp_path):
    glass = Glass(at())
    verdict = ran(glass, step_of(glass, {"composition": "Cu50 Zr50"}), tmp_path / "one")
    assert (verdict.state, "'Cu50 Zr50' is not a composition" in verdict.reason) == ("failed", True), verdict
    with pytest.raises(ProgramUnavailable, match="expected an eam/alloy or eam/fs file"):
        Glass(at({"potential": str(tmp_path / "none")}))


def test_bonds_are_labeled_and_go_to_the_stream_that_the_site_names(tmp_path):
    program = BondLabels(at({"stream": "bonds"}))
    # Wide enough that no atom is bonded to two images of another one.
    wide = step_of(program, {"longest": 3.5}, COPPER.format(8.0, 2.2), analyses=("bond-types",))
    verdict = ran(program, wide, tmp_path / "wide")
    assert verdict.state == "done", verdict
    found = program.extract(wide, tmp_path / "wide")
    assert found.values["bonds"].value == len(found.tables["bonds"].rows) == len(found.observations) > 2
    assert {one.stream for one in found.observations} == {"bonds"}
    assert found.observations[0].x["bond"] in ("Zr-Cu", "Cu-Cu", "Zr-Zr")
    (report,) = run_analyses(program.analyses, wide, tmp_path / "wide", found)
    assert report["state"] == "done", report
    short = replace(wide, parameters={**wide.parameters, "iterations": 2})
    verdict = ran(program, short, tmp_path / "short")
    assert (verdict.state, verdict.cause) == ("unconverged", "scf-steps")
    assert program.correct(short, tmp_path / "short", verdict).corrections == {"iterations": 8}


def test_labels_of_a_molecule_are_refused(tmp_path):
    program = BondLabels(at())
    verdict = ran(program, step_of(program, {}, HYDROGEN_PEROXIDE), tmp_path / "one")
    assert verdict.state == "failed"
    assert "not periodic" in verdict.reason
