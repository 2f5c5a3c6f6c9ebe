"""The program `quantum-espresso`, with the real pw.x: LiH in a field, its density handed from step to step."""

import re
import shutil
from dataclasses import replace

import pytest
from tailrace.programs import Keep, ProgramUnavailable, StepRefused, kept_files, run_analyses

from lammps_jobs.programs.espresso.report import read_report
from lammps_jobs.programs.espresso.xml_output import UnusableXml, read_xml
from lammps_jobs.programs.quantum_espresso import DENSITY, OUTPUT, SAVE, XML, QuantumEspresso
from tests.lammps_jobs.steps import at, parent_of, ran, step_of
from tests.slurm import needs

pytestmark = [pytest.mark.one_database, needs("pw.x")]

# S. Goedecker, M. Teter, J. Hutter, Phys. Rev. B 54, 1703 (1996), as local potentials in ABINIT's format.
GTH = {
    "Li": "Li GTH-PADE-q3\n3 3 961111\n10 1 -1 0 2001 0\n0.4 4 -14.03486849 9.55347623 -1.76648849 0.08436998\n0\n",
    "H": "H GTH-PADE-q1\n1 1 961111\n10 1 -1 0 2001 0\n0.2 2 -4.18023680 0.72507482\n0\n",
}
LIH = """2
Lattice="7.0 0 0 0 7.0 0 0 0 7.0" Properties=species:S:1:pos:R:3 pbc="T T T"
Li 3.5 3.5 2.6
H 3.5 3.5 4.2
"""
SETTINGS = {"ecutwfc": 12, "field": 0.0}


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pseudopotentials")
    for element, text in GTH.items():
        (folder / f"{element}.gth").write_text(text)
    return QuantumEspresso(at({"pseudopotentials": str(folder)}))


@pytest.fixture(scope="module")
def first(program, tmp_path_factory):
    """The finished first step of the chain."""
    folder = tmp_path_factory.mktemp("first") / "attempt"
    step = step_of(program, SETTINGS, LIH)
    verdict = ran(program, step, folder)
    assert verdict.state == "done", (verdict, (folder / OUTPUT).read_text()[-2000:])
    return step, folder


@pytest.fixture
def copied(first, tmp_path):
    """A copy of its folder, to be damaged."""
    step, folder = first
    return step, shutil.copytree(folder, tmp_path / "copy")


def test_its_version_is_what_pw_x_prints(program):
    assert re.match(r"\d+\.\d+", program.version())


def test_a_finished_step_gives_energy_forces_dipole_and_levels(program, first):
    step, folder = first
    found = program.extract(step, folder)
    assert -170 < found.values["energy"].value < -150
    assert found.values["started from"].value == "atoms"
    assert found.values["dipole"].unit == "e Å"
    assert abs(found.values["dipole"].value) > 0.5
    assert [row[1] for row in found.tables["forces"].rows] == ["Li", "H"]
    assert sum(row[4] for row in found.tables["forces"].rows) == pytest.approx(0, abs=1e-3)
    assert len(found.tables["bands"].rows) == 2
    kept = program.keep(step)
    assert isinstance(kept, Keep)
    assert f"{SAVE}/{DENSITY}" in map(str, kept_files(folder, kept.children))


def test_each_step_of_a_chain_starts_from_the_density_of_the_former(program, first, tmp_path):
    step, folder = first
    parent = parent_of(program, step, folder)
    analyses = ("energy-profile",)
    second = step_of(program, {**SETTINGS, "field": 0.002}, LIH, [parent], analyses=analyses)
    assert ran(program, second, tmp_path / "second").state == "done"
    found = program.extract(second, tmp_path / "second")
    assert found.values["started from"].value == "the parent's density"
    assert found.values["iterations"].value < program.extract(step, folder).values["iterations"].value
    fresh = step_of(program, {**SETTINGS, "field": 0.002, "start": "atoms"}, LIH, [parent])
    assert ran(program, fresh, tmp_path / "fresh").state == "done"
    again = program.extract(fresh, tmp_path / "fresh")
    assert again.values["started from"].value == "atoms"
    assert found.values["energy"].value == pytest.approx(again.values["energy"].value, abs=1e-5)
    (report,) = run_analyses(program.analyses, second, tmp_path / "second", found)
    assert (report["state"], report["tables"]["energies of the chain"]["rows"][1][0]) == ("done", 0.002), report
    along = {"calculation": "bands", "path": [0, 0, 0, 0, 0, 0.5], "path_points": 3, "bands": 3}
    bands = step_of(program, {**SETTINGS, **along}, LIH, [parent], analyses=("bands", "gap"))
    assert ran(program, bands, tmp_path / "bands").state == "done"
    levels = program.extract(bands, tmp_path / "bands")
    assert "energy" not in levels.values
    reports = run_analyses(program.analyses, bands, tmp_path / "bands", levels)
    assert [one["state"] for one in reports] == ["done", "done"], reports
    assert reports[0]["values"]["number of k-points"]["value"] == 4
    assert reports[1]["values"]["gap"]["value"] > 0


def test_a_run_that_stops_after_two_steps_says_job_done_and_is_unconverged(program, tmp_path):
    step = step_of(program, {**SETTINGS, "iterations": 2}, LIH)
    verdict = ran(program, step, tmp_path / "attempt")
    assert "JOB DONE." in (tmp_path / "attempt" / OUTPUT).read_text()
    assert (verdict.state, verdict.cause) == ("unconverged", "scf-steps")
    assert "convergence NOT achieved after   2 iterations" in verdict.reason
    assert program.validate(step, tmp_path / "attempt", 0).state == "unconverged", "whatever the exit code"
    correction = program.correct(step, tmp_path / "attempt", verdict)
    assert correction.name == "smaller mixing"
    assert correction.corrections == {"mixing": 0.35, "iterations": 4}
    second = replace(step, attempt=2, corrections=correction.corrections)
    assert program.correct(second, tmp_path / "attempt", verdict).name == "more steps"
    assert program.correct(replace(second, attempt=3), tmp_path / "attempt", verdict) is None


def test_the_xml_counts_as_much_as_the_report(program, copied):
    step, folder = copied
    xml = (folder / XML).read_text()
    (folder / XML).write_text(xml.replace("<convergence_achieved>true", "<convergence_achieved>false"))
    assert "convergence_achieved is false" in program.validate(step, folder, 0).reason
    (folder / XML).write_text(xml)
    report = (folder / OUTPUT).read_text()
    (folder / OUTPUT).write_text(report.replace("convergence has been achieved", "nothing"))
    assert program.validate(step, folder, 0).state == "unconverged"


def test_a_density_that_is_missing_or_cut_off_is_never_replaced_by_atoms_unnoticed(program, first, tmp_path):
    step, folder = first
    kept = shutil.copytree(folder, tmp_path / "kept")
    parent = replace(parent_of(program, step, folder), folder=kept)
    child = step_of(program, {**SETTINGS, "field": 0.002}, LIH, [parent])
    (tmp_path / "child").mkdir()
    density = (kept / SAVE / DENSITY).read_bytes()
    (kept / SAVE / DENSITY).write_bytes(density[: len(density) // 2])
    with pytest.raises(StepRefused, match="changed or cut off"):
        program.prepare(child, tmp_path / "child")
    (kept / SAVE / DENSITY).unlink()
    with pytest.raises(StepRefused, match="is missing: run the step that makes it again"):
        program.prepare(child, tmp_path / "child")
    # The file vanishes after it was checked: pw.x itself starts from atoms, converges, and ends with exit code 0.
    (kept / SAVE / DENSITY).write_bytes(density)
    command = program.command

    def vanishing(step, folder):
        (folder / SAVE / DENSITY).unlink()
        return command(step, folder)

    program.command = vanishing
    try:
        verdict = ran(program, child, tmp_path / "vanished")
    finally:
        del program.command
    report = read_report(tmp_path / "vanished" / OUTPUT)
    assert report.achieved
    assert report.done
    assert (verdict.state, verdict.cause) == ("failed", "density")


def test_output_that_is_cut_huge_binary_or_another_s_is_not_used(program, copied):
    step, folder = copied
    report, xml = (folder / OUTPUT).read_bytes(), (folder / XML).read_bytes()
    for damaged in (report[: len(report) // 2], b"", bytes(range(256)) * 400, b"x" * 5_000_000, b"JOB DONE.\n"):
        (folder / OUTPUT).write_bytes(damaged)
        assert program.validate(step, folder, 0).state != "done", damaged[:40]
    (folder / OUTPUT).write_bytes(b"\x1b[2J" + bytes(range(128, 256)) * 99 + b"\n" + report)
    assert program.validate(step, folder, 0).state == "done"
    for damaged in (
        xml[:-200],
        xml[: len(xml) // 2],
        b"",
        b"<a/>",
        b"\0" * 99,
        xml.replace(b'name="Li"', b'name="Na"'),
    ):
        (folder / XML).write_bytes(damaged)
        assert program.validate(step, folder, 0).state == "failed", damaged[:40]
    (folder / XML).write_bytes(re.sub(rb"<etot>[^<]*", b"<etot>NaN", xml))
    assert "not finite" in program.validate(step, folder, 0).reason
    bomb = b'<!DOCTYPE a [<!ENTITY b "' + b"c" * 9999 + b'">]>' + xml.replace(b"<title>", b"<title>" + b"&b;" * 99_999)
    (folder / XML).write_bytes(bomb)
    with pytest.raises(UnusableXml):
        read_xml(folder / XML)
    (folder / XML).unlink()
    assert "is missing" in program.validate(step, folder, 0).reason
    (folder / XML).write_bytes(xml)
    (folder / OUTPUT).write_bytes(report)
    assert program.validate(step, folder, None).state == "failed"
    assert program.validate(step, folder, 1).state == "failed"
    assert program.validate(step, folder, 0).state == "done"


def test_a_time_limit_is_unconverged_and_the_next_attempt_may_take_longer(program, copied):
    step, folder = copied
    step = replace(step, resources={"seconds": 600})
    report = (folder / OUTPUT).read_text().replace("convergence has been achieved", "Maximum CPU time exceeded")
    (folder / OUTPUT).write_text(report.replace("     Maximum", "\n     Maximum"))
    verdict = program.validate(step, folder, 255)
    assert (verdict.state, verdict.cause) == ("unconverged", "walltime")
    assert program.correct(step, folder, verdict).resources == {"seconds": 1200}


def test_a_density_of_another_grid_cell_or_element_without_pseudopotential_is_refused(program, first, tmp_path):
    parent = parent_of(program, *first)
    cases = [
        ({**SETTINGS, "ecutwfc": 14}, LIH, "ecutwfc is 14.0, and the density of the parent 'former' has 12.0"),
        (SETTINGS, LIH.replace("7.0", "7.1"), "the cell is another"),
        (SETTINGS, LIH.replace("Li ", "Na "), "the site has no pseudopotential of Na: it has H, Li"),
        (SETTINGS, "2\n\nLi 0 0 0\nH 0 0 1.6\n", "put the molecule into a box"),
        ({**SETTINGS, "calculation": "bands", "path": [0, 0, 0]}, LIH, "path has 3 numbers"),
    ]
    for number, (settings, structure, said) in enumerate(cases):
        (tmp_path / str(number)).mkdir()
        with pytest.raises(StepRefused, match=re.escape(said)):
            program.prepare(step_of(program, settings, structure, [parent]), tmp_path / str(number))


def test_a_site_without_pseudopotentials_or_pw_x_is_told_so(tmp_path):
    with pytest.raises(ProgramUnavailable, match="pseudopotentials is missing"):
        QuantumEspresso(at())
    with pytest.raises(ProgramUnavailable, match="holds no pseudopotentials"):
        QuantumEspresso(at({"pseudopotentials": str(tmp_path)}))
    (tmp_path / "H.gth").write_text(GTH["H"])
    for command in (["no-such-program"], ["true"]):
        with pytest.raises(ProgramUnavailable, match="command = "):
            QuantumEspresso(at({"pseudopotentials": str(tmp_path), "command": command})).version()
