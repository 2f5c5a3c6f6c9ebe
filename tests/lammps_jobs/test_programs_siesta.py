"""The program `siesta`: inputs it writes, and outputs of several versions, written after their documented formats.

The real binary is not run: it can't be installed where these tests run.
"""

from dataclasses import replace

import pytest
from tailrace.programs import Parent, ProgramUnavailable, StepRefused

from lammps_jobs.programs.siesta import DENSITY, FORCES, INPUT, OUTPUT, TRAJECTORY, Siesta
from tests.lammps_jobs.siesta_outputs import ANI, END, NOT_CONVERGED, NOT_READ, READ, output, scf
from tests.lammps_jobs.siesta_outputs import FORCES as FA
from tests.lammps_jobs.steps import at, step_of

pytestmark = pytest.mark.one_database

LIH = """2
Lattice="7.0 0 0 0 7.0 0 0 0 7.0" Properties=species:S:1:pos:R:3 pbc="T T T"
Li 3.5 3.5 2.6
H 3.5 3.5 4.2
"""
VERSIONS = pytest.mark.parametrize("version", ["4.0", "4.1", "5"])


@pytest.fixture
def program(tmp_path):
    folder = tmp_path / "pseudopotentials"
    folder.mkdir()
    (folder / "Li.psf").write_text("a pseudopotential of Li")
    (folder / "H_pbe.psml").write_text("<psml/>")
    return Siesta(at({"pseudopotentials": str(folder)}))


@pytest.fixture
def attempt(program, tmp_path):
    """Prepares a step, and writes its output files: returns its verdict with exit code 0."""
    number = 0

    def run(settings, report, parents=(), code=0, forces=FA, trajectory=ANI):
        nonlocal number
        number += 1
        folder = tmp_path / f"attempt-{number}"
        folder.mkdir()
        step = step_of(program, settings, LIH, parents)
        program.prepare(step, folder)
        for name, text in ((OUTPUT, report), (FORCES, forces), (TRAJECTORY, trajectory), (DENSITY, "dm")):
            (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        return step, folder, program.validate(step, folder, code)

    return run


@VERSIONS
def test_a_converged_field_gives_energy_forces_and_dipole(program, attempt, version):
    step, folder, verdict = attempt({}, output(version, scfs=[scf(version)]))
    assert verdict.state == "done", verdict
    found = program.extract(step, folder)
    assert found.values["energy"].value == -189.2345
    assert found.values["iterations"].value == 3
    assert found.values["dipole"].value == pytest.approx(1.164, abs=1e-3)
    assert found.tables["forces"].rows[1] == [2, "H", 0, 0, -0.12]
    found.to_json()


@VERSIONS
def test_a_field_that_did_not_converge_is_unconverged_whatever_the_exit_code(program, attempt, version):
    field = scf(version, changes=(1.2, 0.3), converged=False)
    step, folder, verdict = attempt({}, output(version, scfs=[field + NOT_CONVERGED[version]]))
    assert (verdict.state, verdict.cause) == ("unconverged", "scf-steps")
    assert attempt({}, output(version, scfs=[field]))[2].state == "unconverged", "no line says that it converged"
    correction = program.correct(step, folder, verdict)
    assert (correction.name, correction.corrections) == ("smaller mixing", {"mixing": 0.125, "iterations": 400})
    assert program.correct(replace(step, attempt=2), folder, verdict).name == "more steps"
    assert program.correct(replace(step, attempt=3), folder, verdict) is None


@VERSIONS
def test_only_the_last_field_of_a_relaxation_counts_and_the_geometry_must_converge(program, attempt, version):
    relaxed = "outcoor: Relaxed atomic coordinates (Ang):\n    3.5 3.5 2.55   1       1  Li\n"
    settings = {"calculation": "relax"}
    step, folder, verdict = attempt(settings, output(version, scfs=[scf(version), scf(version)], relax=relaxed))
    assert verdict.state == "done", verdict
    found = program.extract(step, folder)
    assert found.values["moves"].value == 2
    assert "Li 3.5000000000 3.5000000000 2.5500000000" in (folder / "structure.xyz").read_text()
    unfinished = [scf(version), scf(version, changes=(0.5, 0.4), converged=False)]
    assert attempt(settings, output(version, scfs=unfinished, relax=relaxed))[2].state == "unconverged"
    for said in (
        "outcoor: Final (unrelaxed) atomic coordinates (Ang):\n",
        "GEOM_NOT_CONV: Geometry relaxation not converged\n",
        "",
    ):
        step, folder, verdict = attempt(settings, output(version, scfs=[scf(version)], relax=said))
        assert (verdict.state, verdict.cause) == ("unconverged", "geometry"), said
    assert program.correct(step, folder, verdict).corrections == {"relax_steps": 200}


@VERSIONS
def test_a_step_that_should_start_from_the_parent_s_density_must_say_so(program, attempt, tmp_path, version):
    step, folder, _ = attempt({}, output(version, scfs=[scf(version)]))
    parent = Parent("former", folder, step.parameters, program.extract(step, folder).to_json())
    after, place, verdict = attempt({}, output(version, start=READ[version], scfs=[scf(version)]), [parent])
    assert verdict.state == "done", verdict
    assert program.extract(after, place).values["started from"].value == "the parent's density matrix"
    for start in (NOT_READ[version], ""):
        verdict = attempt({}, output(version, start=start, scfs=[scf(version)]), [parent])[2]
        assert (verdict.state, verdict.cause) == ("failed", "density")
    (folder / DENSITY).write_bytes(b"d")
    with pytest.raises(StepRefused, match="changed or cut off"):
        attempt({}, "", [parent])
    with pytest.raises(StepRefused, match="basis is SZ"):
        attempt({"basis": "SZ"}, "", [parent])


@VERSIONS
def test_reports_that_are_cut_stopped_or_not_of_siesta_are_not_used(program, attempt, version):
    whole = output(version, scfs=[scf(version)])
    cases = [
        whole.replace(END[version], ""), whole[: len(whole) // 2], "", "Job completed\n" * 9, b"\xff\0" * 9999,
        b"x" * 3_000_000, whole.replace("-189.2345\n", "NaN\n").replace("-189.234500\n", "*******\n"),
        whole.replace("siesta: E_KS", "Stopping Program from Node:    0\nsiesta: E_KS"),
    ]  # fmt: skip
    for report in cases:
        assert attempt({}, report)[2].state != "done", report[:60]
    assert attempt({}, whole, code=1)[2].state == "failed"
    assert attempt({}, whole, code=None)[2].state == "failed"
    for forces in (FA[:40], "", FA.replace("0.120000", "NaN"), FA.replace("     2\n", "     3\n", 1), b"\0" * 99):
        assert attempt({}, whole, forces=forces)[2].state == "failed", forces[:40]
    late = "OUT_OF_TIME: Time is up.\nSCF_NOT_CONV: SCF did not converge at wall time exhaustion\n"
    assert attempt({}, whole.replace(END[version], late))[2].cause == "walltime"


def test_the_input_holds_the_parameters_and_the_site_s_lines_come_last(program, attempt, tmp_path):
    (tmp_path / "site.fdf").write_text("SCF.MustConverge false\nDiag.Algorithm ELPA\n")
    options = {**program.site.options, "fdf": str(tmp_path / "site.fdf")}
    settings = {"field": 0.1, "kpoints": [2, 2, 1], "calculation": "relax", "rotation": 90, "rotation_axis": "x"}
    step = step_of(program, settings, LIH, resources={"seconds": 100})
    (tmp_path / "one").mkdir()
    Siesta(at(options)).prepare(step, tmp_path / "one")
    text = (tmp_path / "one" / INPUT).read_text()
    assert text.index("SCF.MustConverge true") < text.index("SCF.MustConverge false")
    for line in (
        "MaxWalltime 90 s", "MD.TypeOfRun CG", "  0.0 0.0 0.10000000 V/Ang", "  0 2 0 0.0", "  2 1 H",
        "  3.5000000000 4.3000000000 3.4000000000 1",
    ):  # fmt: skip
        assert line in text, text
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == ["H.psml", "Li.psf", INPUT, "structure.xyz"]


def test_a_site_without_siesta_is_told_so(program):
    with pytest.raises(ProgramUnavailable, match="can't be run"):
        program.version()
    with pytest.raises(ProgramUnavailable, match="pseudopotentials is missing"):
        Siesta(at())
