"""The program `lammps`: the melt and an input of the site, and logs of runs that must not be used."""

from pathlib import Path

import pytest
from tailrace.launchers.containers import Container
from tailrace.programs import InvalidParameters, ProgramUnavailable, StepRefused, check_parameters, run_analyses

from lammps_jobs.programs.lammps import LOG, Lammps
from tests.lammps_jobs.steps import at, ran, step_of

pytestmark = pytest.mark.one_database

FIXTURES = Path(__file__).parent / "fixtures"


@pytest.fixture(scope="module")
def program():
    return Lammps(at())


def test_a_melt_gives_its_loop_time_to_a_stream_and_a_table_with_pictures(program, tmp_path):
    assert "2025" in program.version() or program.version()[0].isdigit()
    step = step_of(program, {"x": 1, "y": 1, "z": 1, "steps": 50}, analyses=("thermo",))
    folder = tmp_path / "attempt"
    assert ran(program, step, folder).state == "done"
    found = program.extract(step, folder)
    assert found.values["atoms"].value == 54
    assert found.values["energy"].unit == "eV"
    assert [row[0] for row in found.tables["thermo"].rows] == [0, 10, 20, 30, 40, 50]
    (observation,) = found.observations
    assert (observation.stream, observation.key_suffix, observation.unit) == ("lammps-loop-time", "loop-time", "s")
    assert observation.x == {"x": 1, "y": 1, "z": 1, "steps": 50, "processes": 1}
    assert observation.y == found.values["loop time"].value > 0
    (report,) = run_analyses(program.analyses, step, folder, found)
    assert report["state"] == "done", report
    assert all((folder / name).read_bytes().startswith(b"\x89PNG") for name in report["files"])
    assert len(report["files"]) == 3


@pytest.mark.parametrize(
    "log, state",
    [
        ("serial.log", "done"), ("mpi.log", "done"), ("error.log", "failed"), ("halted.log", "failed"),
        ("killed.log", "failed"), ("lost-atoms.log", "failed"), ("nan.log", "failed"), ("time-limit.log", "failed"),
        ("truncated.log", "failed"),
    ],
)  # fmt: skip
def test_logs_of_runs_that_did_not_complete_are_not_used_whatever_the_exit_code(program, tmp_path, log, state):
    (tmp_path / LOG).write_bytes((FIXTURES / log).read_bytes())
    step = step_of(program)
    assert program.validate(step, tmp_path, 0).state == state
    assert program.validate(step, tmp_path, 1).state == "failed"
    assert program.validate(step, tmp_path, None).state == "failed"


def test_atoms_that_an_input_loses_without_an_error_are_noticed(program, tmp_path):
    log = (FIXTURES / "serial.log").read_text()
    (tmp_path / LOG).write_text(log.replace("Loop time", "WARNING: Lost atoms: original 54 current 53\nLoop time", 1))
    assert "atoms were lost" in program.validate(step_of(program), tmp_path, 0).reason
    for damaged in (b"", bytes(range(256)) * 999, b"x" * 3_000_000):
        (tmp_path / LOG).write_bytes(damaged)
        assert program.validate(step_of(program), tmp_path, 0).state == "failed"


def test_a_job_that_the_batch_system_ended_at_its_limit_may_take_longer(program, tmp_path):
    (tmp_path / LOG).write_bytes((FIXTURES / "killed.log").read_bytes())
    step = step_of(program, resources={"seconds": 60})
    verdict = program.validate(step, tmp_path, None)
    assert program.correct(step, tmp_path, verdict) is None, "nothing says that it was the limit"
    (tmp_path / "output.txt").write_text("slurmstepd: error: *** JOB 7 ON n1 CANCELLED AT 2026 DUE TO TIME LIMIT ***\n")
    assert program.correct(step, tmp_path, verdict).resources == {"seconds": 120}


def test_an_input_of_the_site_gets_its_parameters_as_variables_and_nothing_else(tmp_path):
    (tmp_path / "own input.in").write_text(
        "units lj\nlattice fcc 0.8\nregion r block 0 ${n} 0 2 0 2\ncreate_box 1 r\ncreate_atoms 1 box\nmass 1 1\n"
        "pair_style lj/cut 2.5\npair_coeff 1 1 1 1\nvelocity all create ${t} 7\nfix 1 all nve\nrun 5\n"
    )
    parameters = {"n": {"type": "integer", "minimum": 2, "maximum": 9}, "t": {"type": "string"}}
    program = Lammps(at({"input": str(tmp_path / "own input.in"), "parameters": parameters}))
    step = step_of(program, {"n": 3, "t": "1.5"})
    assert ran(program, step, tmp_path / "attempt").state == "done"
    assert program.extract(step, tmp_path / "attempt").observations[0].x == {"n": 3, "processes": 1}
    with pytest.raises(InvalidParameters, match="n is 12: expected an integer from 2 to 9"):
        check_parameters(program.schema(), {"n": 12, "t": "1"})
    for hostile in ("1\nshell touch x", "$(1+1)", "1 2", "../x", ""):
        with pytest.raises(StepRefused, match="t is "):
            program.prepare(step_of(program, {"n": 3, "t": hostile}), tmp_path)


def test_in_a_container_the_image_s_lammps_gets_copies_of_the_files(tmp_path):
    program = Lammps(at(container=Container("apptainer", "lammps.sif")))
    step = step_of(program)
    program.prepare(step, tmp_path)
    command = program.command(step, tmp_path)
    assert command[: command.index("lmp")][-1] == "lammps.sif"
    assert not any(path.is_symlink() for path in tmp_path.iterdir())


def test_a_site_whose_input_or_program_is_missing_is_told_so(tmp_path):
    with pytest.raises(ProgramUnavailable, match="is missing: expected a file"):
        Lammps(at({"input": str(tmp_path / "none.in")}))
    with pytest.raises(ProgramUnavailable, match="is not LAMMPS"):
        Lammps(at({"command": ["true"]})).version()
