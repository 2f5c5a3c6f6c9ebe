"""The log parser, on logs of real LAMMPS runs (see fixtures/README.md)."""

from pathlib import Path

import pytest

from lammps_jobs.log import RunNotCompleted, RunTiming, parse_log, read_log

pytestmark = pytest.mark.one_database

FIXTURES = Path(__file__).with_name("fixtures")
FAILED = {
    "killed.log": "breaks off at step 25",
    "truncated.log": "breaks off at step 20",
    "time-limit.log": "reached its time limit (timer timeout) at step 40",
    "halted.log": "halted early: Fix halt condition for fix-id stop met on step 20",
    "error.log": "LAMMPS stopped with ERROR on proc 0: Substitution for illegal variable y",
    "lost-atoms.log": "LAMMPS stopped with ERROR: Lost atoms: original 648 current 0",
    "nan.log": "diverged: its output shows inf at step 0",
    "mpi-crashed.out": "breaks off at step 4",
    "quit-with-a-code.log": "the input stopped LAMMPS itself: quit 3",
    "split.log": "`log production.log` sends what follows elsewhere: leave the command out, or report what LAMMPS printed",
    "split-off.log": "the log begins in the middle, as a file does that the input's own `log` command began: leave",
    "partitions.log": "on 2 partitions, and each wrote a log of its own: this one's name with .0 to .1 added",
    "old-killed.log": "breaks off at step 14",
    "old-time-limit.log": "reached its time limit (timer timeout) at step 30",
    "old-halted.log": "halted early: Fix halt condition for fix-id stop met on step 10",
    "old-error.log": "LAMMPS stopped with ERROR on proc 0: Substitution for illegal variable y",
    "old-lost-atoms.log": "LAMMPS stopped with ERROR: Lost atoms: original 648 current 0",
    "old-nan.log": "diverged: its output shows inf at step 0",
    "old-mpi-crashed.out": "breaks off during a run",
}
COMPLETED = {
    "serial.log", "mpi.log", "threads.log", "screen.out", "two-runs.log", "variables.log", "quit.log",
    "threads-without-summary.log", "old-serial.log", "old-mpi.log",
}  # fmt: skip


def _parse(text: str):
    return parse_log(text.encode().splitlines(keepends=True))


def test_it_reads_a_serial_run_to_the_microsecond():
    report = read_log(FIXTURES / "serial.log")
    assert report.failure is None
    assert report.version == "22 Jul 2025 - Update 4"
    assert report.loop_time == 0.0273036
    assert (report.atoms, report.steps, report.processes, report.threads) == (648, 20, 1, 1)
    assert report.cpu_use == 92.3
    assert report.wall_time == 0


def test_it_tells_processes_from_threads():
    """LAMMPS writes "on 2 procs" for both."""
    assert (read_log(FIXTURES / "mpi.log").processes, read_log(FIXTURES / "mpi.log").threads) == (2, 1)
    assert (read_log(FIXTURES / "threads.log").processes, read_log(FIXTURES / "threads.log").threads) == (1, 2)


def test_it_tells_them_apart_in_a_run_without_a_summary():
    """As `run … post no` leaves it: then the log's head says how many threads there are."""
    report = read_log(FIXTURES / "threads-without-summary.log")
    assert (report.processes, report.threads, report.cpu_use) == (1, 2, None)
    text = (FIXTURES / "threads-without-summary.log").read_text()
    later = text.replace("pair_style ", "set 1 OpenMP thread(s) per MPI task\npair_style ", 1)
    assert (_parse(later).processes, _parse(later).threads) == (2, 1)
    odd = text.replace("on 2 procs", "on 3 procs")
    assert (_parse(odd).processes, _parse(odd).threads) == (3, 1)


def test_a_run_that_its_input_quits_is_complete():
    whole = (FIXTURES / "quit.log").read_text()
    report = _parse(whole)
    assert report.completed
    assert report.wall_time is None
    for end in ("quit 0\n", "quit # done\n", "quit"):
        assert _parse(whole.removesuffix("quit\n") + end).completed
    for end in ("", "qui", "print 'quit'\n", "quit\nrun 10\n", "quitting\n"):
        assert "breaks off" in _parse(whole.removesuffix("quit\n") + end).failure
    run = whole.index("Loop time")
    assert "breaks off" in _parse(whole[:run] + "quit\n").failure


def test_a_log_that_the_input_takes_up_again_is_not_whole():
    """What ran between two `log` commands is in another file, and its time with it."""
    split = (FIXTURES / "split.log").read_text()
    again = split + "run 20\nTotal wall time: 0:00:01\n"
    assert "elsewhere" in _parse(again).failure
    said = (
        (FIXTURES / "serial.log").read_text().replace("thermo ", "print 'log of the run'\nlog of the run\nthermo ", 1)
    )
    assert _parse(said).completed


def test_it_reads_an_old_lammps():
    serial, mpi = read_log(FIXTURES / "old-serial.log"), read_log(FIXTURES / "old-mpi.log")
    assert serial.version == "29 Sep 2021 - Update 2"
    assert (serial.loop_time, serial.atoms, serial.processes) == (0.0574725, 648, 1)
    assert (mpi.loop_time, mpi.processes, mpi.threads, mpi.cpu_use) == (0.0241865, 2, 1, 93.3)


def test_it_reads_the_rates_in_the_units_that_lammps_prints():
    (old,), (new,) = read_log(FIXTURES / "old-mpi.log").runs, read_log(FIXTURES / "mpi.log").runs
    assert old.performance == {"ns/day": 142.89, "hours/ns": 0.168, "timesteps/s": 826.908}
    assert new.performance["katom-step/s"] == 817.896


@pytest.mark.parametrize("name", ["serial.log", "mpi.log", "old-serial.log", "old-mpi.log"])
def test_it_reads_the_variables_that_the_input_used(name):
    variables = {"x": "2", "y": "2", "z": "3", "seed": "1", "steps": "20", "potential": "CuZr_mm.eam.fs"}
    assert read_log(FIXTURES / name).variables == variables


def test_it_reads_variables_of_one_letter_beside_quotes_comments_and_expressions():
    """The input has all of these; its `index` and `string` variables of a single use in quotes are not echoed."""
    assert read_log(FIXTURES / "variables.log").variables == {"a": "1", "y": "3", "z": "4", "steps": "10"}


def test_a_run_that_never_got_to_use_a_variable_does_not_show_it():
    assert read_log(FIXTURES / "error.log").variables == {"seed": "1", "x": "2"}


def test_lines_that_only_look_like_an_echo_give_no_variables():
    head = "LAMMPS (22 Jul 2025)\n"
    for said in ("print '${x}'\nprint '8'\n", "run $(v_a) ${x}\nrun 8 ${y}\n", "fix 1 ${x} # 1\nfix 2 8\n"):
        assert _parse(head + said).variables == {}


def test_it_reads_an_older_lammps_without_threads():
    report = _parse(
        "LAMMPS (3 Mar 2020)\nPer MPI rank memory allocation (min/avg/max) = 3.0 | 3.0 | 3.0 Mbytes\n"
        "Step Temp E_pair E_mol TotEng Press \n       0         1440   -6.7733681            0   -4.6134356   -5.0197073 \n"
        "Loop time of 1.5e-05 on 4 procs for 100 steps with 32000 atoms\n\n"
        "99.9% CPU use with 4 MPI tasks x no OpenMP threads\nTotal wall time: 1:02:03\n"
    )
    assert report.runs == (RunTiming(1.5e-05, 100, 32000, processes=4, threads=1, cpu_use=99.9),)
    assert report.runs[0].performance == {}
    assert report.wall_time == 3723
    assert report.completed


def test_it_reads_captured_output_as_well_as_a_log():
    report = read_log(FIXTURES / "screen.out")
    assert report.loop_time == 0.0269627
    assert report.processes == 1


def test_it_adds_up_the_runs_of_one_input():
    report = read_log(FIXTURES / "two-runs.log")
    assert [run.steps for run in report.runs] == [10, 20]
    assert report.loop_time == pytest.approx(0.0144956 + 0.0292878, abs=1e-12)
    assert report.steps == 30


@pytest.mark.parametrize("name", FAILED)
def test_it_gives_the_reason_instead_of_a_time(name):
    report = read_log(FIXTURES / name)
    assert not report.completed
    assert FAILED[name] in report.failure
    with pytest.raises(RunNotCompleted) as raised:
        _ = report.loop_time
    assert str(raised.value) == report.failure


def test_every_fixture_is_spoken_for():
    assert {path.name for path in FIXTURES.iterdir()} == COMPLETED | set(FAILED) | {"README.md"}


@pytest.mark.parametrize("name", sorted(COMPLETED - {"screen.out", "threads.log", "quit.log"}))
def test_no_beginning_of_a_log_passes_for_the_whole(name):
    whole = (FIXTURES / name).read_bytes()
    needed = whole.index(b"Total wall time: ") + len(b"Total wall time: 0:00:00")
    passed = [cut for cut in range(needed) if parse_log(whole[:cut].splitlines(keepends=True)).completed]
    assert passed == []
    assert parse_log(whole[:needed].splitlines(keepends=True)).completed


@pytest.mark.parametrize(
    "row",
    [
        "        10  -nan            0              0             -nan           -nan          ",
        "        10   1.0            inf",
        "TotEng   =           nan KinEng   =         1.0000 Temp     =         1.0000 ",
        "  - [10, nan, 0.5, ]",
    ],
)
def test_it_sees_divergence_in_every_style_of_output(row):
    serial = (FIXTURES / "serial.log").read_text()
    end = serial.index("Loop time")
    assert "diverged" in (_parse(f"{serial[:end]}{row}\n{serial[end:]}").failure or "completed")


def test_words_that_only_contain_nan_or_inf_are_no_divergence():
    serial = (FIXTURES / "serial.log").read_text()
    end = serial.index("Loop time")
    extra = "WARNING: inf is mentioned here (src/thermo.cpp:1)\nShown by nanny, info, 12inf3\n"
    assert _parse(serial[:end] + extra + serial[end:]).completed


@pytest.mark.parametrize("size", [7, 64, 1000, 1 << 18])
@pytest.mark.parametrize("name", sorted(COMPLETED | set(FAILED)))
def test_it_reads_the_same_in_blocks_of_any_size(monkeypatch, name, size):
    whole = parse_log((FIXTURES / name).read_bytes().splitlines(keepends=True))
    monkeypatch.setattr("lammps_jobs.log.BLOCK", size)
    assert read_log(FIXTURES / name) == whole


def test_it_finds_what_hides_in_a_long_log(tmp_path):
    serial = (FIXTURES / "serial.log").read_bytes()
    cut = serial.index(b"Loop time")
    rows = b"".join(b"%10d   2000  -2980.6924  0  -2813.4297  53462.173\n" % step for step in range(30, 20_000))
    whole, diverged = tmp_path / "whole.log", tmp_path / "diverged.log"
    whole.write_bytes(serial[:cut] + rows + serial[cut:])
    diverged.write_bytes(serial[:cut] + rows + b"     20000   nan  0\n" + rows + serial[cut:])
    assert read_log(whole).loop_time == 0.0273036
    assert "shows nan at step 20000" in read_log(diverged).failure
    whole.write_bytes(serial[:cut] + rows)
    assert "breaks off at step 19999" in read_log(whole).failure


def test_of_several_starts_in_one_file_the_last_counts():
    killed, serial = (FIXTURES / "killed.log").read_bytes(), (FIXTURES / "serial.log").read_bytes()
    assert parse_log((killed + b"\n" + serial).splitlines(keepends=True)).loop_time == 0.0273036
    requeued_and_killed = parse_log((serial + killed).splitlines(keepends=True))
    assert not requeued_and_killed.completed
    assert requeued_and_killed.runs == ()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "the log is empty"),
        ("slurmstepd: error: *** JOB 7 CANCELLED ***\n", "not a log of LAMMPS"),
        ("LAMMPS (22 Jul 2025)\nTotal wall time: 0:00:00\n", "never ran a step"),
        (
            "LAMMPS (22 Jul 2025)\nLoop time of 1e on 1 procs for 5 steps with 2 atoms\nTotal wall time: 0:00:00\n",
            "can't be read",
        ),
        (
            "LAMMPS (22 Jul 2025)\nLoop time of 1e-6 on 1 procs for 0 steps with 2 atoms\nTotal wall time: 0:00:00\n",
            "never ran",
        ),
    ],
)
def test_what_is_no_log_of_a_run_is_said_to_be_none(text, reason):
    assert reason in _parse(text).failure


def test_bytes_that_are_no_text_are_no_trouble():
    assert "not a log" in parse_log([bytes(range(256)), b"\xff\xfe\n"]).failure


def test_a_log_that_is_not_there_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_log(tmp_path / "log.lammps")
