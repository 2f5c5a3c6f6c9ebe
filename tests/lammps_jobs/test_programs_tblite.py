"""The program `tblite`: real single points, states handed from step to step, and what did not converge."""

import json

import pytest
from tailrace.launchers.containers import Container
from tailrace.programs import ProgramUnavailable, StepRefused, run_analyses

from lammps_jobs.programs.tblite import Tblite
from tests.lammps_jobs.steps import HYDROGEN_PEROXIDE, at, parent_of, ran, step_of

pytestmark = pytest.mark.one_database

TORSION = {"torsion_atoms": [3, 1, 2, 4]}


@pytest.fixture(scope="module")
def program():
    return Tblite(at())


@pytest.fixture(scope="module")
def first(program, tmp_path_factory):
    """A finished step: a torsion of 60°."""
    folder = tmp_path_factory.mktemp("first") / "attempt"
    step = step_of(program, {**TORSION, "torsion": 60}, HYDROGEN_PEROXIDE)
    assert ran(program, step, folder).state == "done"
    return step, folder


def test_its_version_is_that_of_the_package_in_the_job_s_python(program):
    assert program.version()[0].isdigit()


def test_a_site_is_told_what_its_python_or_its_container_lacks():
    class Other(Tblite):
        needs = ("numpy", "no_such_package")

    with pytest.raises(ProgramUnavailable, match="not installed: no_such_package"):
        Other(at()).version()
    with pytest.raises(ProgramUnavailable, match=r"set command to the words that start in_job\.py there"):
        Tblite(at(container=Container("apptainer", "own.sif"))).version()
    with pytest.raises(ProgramUnavailable, match="can't be run"):
        Tblite(at({"command": ["no-such-python"]})).version()


def test_a_scan_starts_each_step_from_the_state_of_the_former(program, first, tmp_path):
    step, folder = first
    one = program.extract(step, folder)
    assert one.values["started from"].value == "a guess"
    assert -300 < one.values["energy"].value < -200
    assert [row[1] for row in one.tables["charges"].rows] == ["O", "O", "H", "H"]
    assert abs(sum(row[2] for row in one.tables["charges"].rows)) < 1e-6
    after = step_of(
        program, {**TORSION, "torsion": 65}, HYDROGEN_PEROXIDE, [parent_of(program, step, folder)],
        analyses=("energy-profile", "charges"),
    )  # fmt: skip
    assert ran(program, after, tmp_path / "after").state == "done"
    other = program.extract(after, tmp_path / "after")
    assert other.values["started from"].value == "the parent's state"
    fresh = step_of(program, {**TORSION, "torsion": 65, "start": "fresh"}, HYDROGEN_PEROXIDE, after.parents)
    assert ran(program, fresh, tmp_path / "fresh").state == "done"
    again = program.extract(fresh, tmp_path / "fresh")
    assert other.values["iterations"].value < again.values["iterations"].value
    assert other.values["energy"].value == pytest.approx(again.values["energy"].value, abs=1e-4)
    reports = {one["name"]: one for one in run_analyses(program.analyses, after, tmp_path / "after", other)}
    assert [one["state"] for one in reports.values()] == ["done", "done"], reports
    assert [row[0] for row in reports["energy-profile"]["tables"]["energies of the chain"]["rows"]] == [60, 65]
    assert (tmp_path / "after" / "energy-profile.png").read_bytes().startswith(b"\x89PNG")


def test_a_step_that_does_not_converge_is_unconverged_and_gets_named_corrections(program, tmp_path):
    step = step_of(program, {"iterations": 2}, HYDROGEN_PEROXIDE)
    verdict = ran(program, step, tmp_path / "attempt")
    assert (verdict.state, verdict.cause) == ("unconverged", "scf-steps")
    assert "not converged in 2 cycles" in verdict.reason
    correction = program.correct(step, tmp_path / "attempt", verdict)
    assert (correction.name, correction.corrections) == ("more iterations", {"iterations": 8})
    second = step_of(program, {"iterations": 2}, HYDROGEN_PEROXIDE, attempt=2, corrections=correction.corrections)
    correction = program.correct(second, tmp_path / "attempt", verdict)
    assert correction.name == "smaller mixing"
    assert correction.corrections == {"iterations": 16, "mixing": 0.2}
    third = step_of(program, {"iterations": 2}, HYDROGEN_PEROXIDE, attempt=3, corrections=correction.corrections)
    assert program.correct(third, tmp_path / "attempt", verdict) is None
    none = step_of(program, {"iterations": 2, "corrections": 0}, HYDROGEN_PEROXIDE)
    assert program.correct(none, tmp_path / "attempt", verdict) is None


def test_a_state_that_was_cut_off_or_is_of_another_method_is_refused(program, first, tmp_path):
    step, folder = first
    parent = parent_of(program, step, folder)
    kept = tmp_path / "kept"
    kept.mkdir()
    for path in folder.iterdir():
        (kept / path.name).write_bytes(path.read_bytes())
    (kept / "state.npz").write_bytes((folder / "state.npz").read_bytes()[:300])
    cut = step_of(program, {}, HYDROGEN_PEROXIDE, [type(parent)("former", kept, parent.parameters, parent.results)])
    (tmp_path / "cut").mkdir()
    with pytest.raises(StepRefused, match=r"state\.npz was changed or cut off"):
        program.prepare(cut, tmp_path / "cut")
    other = step_of(program, {"method": "GFN1-xTB"}, HYDROGEN_PEROXIDE, [parent])
    verdict = ran(program, other, tmp_path / "other")
    assert verdict.state == "failed"
    assert "is of GFN2-xTB, this step uses GFN1-xTB" in verdict.reason


def test_a_result_that_is_cut_missing_or_of_another_input_is_not_used(program, first, tmp_path):
    step, folder = first
    whole = (folder / "result.json").read_bytes()
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "input.json").write_bytes((folder / "input.json").read_bytes())
    assert program.validate(step, copy, 0).state == "failed"
    for content in (whole[:-20], b"\0\xff" * 100, b"[]", b'{"state": "done"}'):
        (copy / "result.json").write_bytes(content)
        assert program.validate(step, copy, 0).state == "failed", content[:40]
    (copy / "result.json").write_bytes(whole)
    assert program.validate(step, copy, 0).state == "done"
    assert program.validate(step, copy, 1).state == "failed"
    assert program.validate(step, copy, None).state == "failed"
    broken = json.loads(whole)
    broken["results"]["values"]["energy"]["value"] = float("nan")
    (copy / "result.json").write_text(json.dumps(broken))
    assert "finite" in program.validate(step, copy, 0).reason
    (copy / "result.json").write_bytes(whole)
    (copy / "input.json").write_text("{}")
    assert "another input" in program.validate(step, copy, 0).reason


@pytest.mark.parametrize(
    "parameters, said",
    [
        ({"torsion_atoms": [3, 1, 2, 9], "torsion": 60}, "atom 9: the structure has 4"),
        ({"distance_atoms": [1, 1], "distance": 1.5}, "expected different atoms"),
        ({"charge": 1}, "charge 1 leaves 17 electrons, of which 0 can't be unpaired"),
    ],
)
def test_parameters_that_do_not_fit_the_structure_are_refused_by_name(program, tmp_path, parameters, said):
    verdict = ran(program, step_of(program, parameters, HYDROGEN_PEROXIDE), tmp_path / "attempt")
    assert verdict.state == "failed"
    assert said in verdict.reason


def test_a_torsion_without_its_atoms_is_refused_before_it_runs(program, tmp_path):
    with pytest.raises(StepRefused, match="torsion and torsion_atoms belong together"):
        program.prepare(step_of(program, {"torsion": 60}, HYDROGEN_PEROXIDE), tmp_path)
