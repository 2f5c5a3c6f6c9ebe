"""The log parser, on logs of real LAMMPS runs (see fixtures/README.md)."""

import subprocess
from pathlib import Path

import pytest

from lammps_jobs.logs.log_reader import parse_log, read_log
from lammps_jobs.logs.log_report import RunNotCompleted, RunTiming
from lammps_jobs.runs.lammps_job import program

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
    "split.log": "`log production.log` writes the rest to another file: leave the command out, or report the screen output",
    "split-off.log": "the log begins in the middle, like a file that the input's own `log` command started: leave",
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
    assert "to another file" in _parse(again).failure
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


OF_2014 = (
    "LAMMPS (28 Jun 2014)\n  using 4 OpenMP thread(s) per MPI task\nMemory usage per processor = 3.6 Mbytes\nStep Temp \n"
    "       0         1.44 \nLoop time of 2.5 on 8 procs (2 MPI x 4 OpenMP) for 100 steps with 500 atoms\n\n"
    "Pair  time (%) = 2.1 (84)\nTotal wall time: 0:00:03\n"
)


def test_it_reads_lammps_of_2014_with_threads():
    report = _parse(OF_2014)
    assert report.completed
    assert report.runs == (RunTiming(2.5, 100, 500, processes=2, threads=4),)
    assert _parse(OF_2014.replace("  using 4 OpenMP thread(s) per MPI task\n", "")).runs == report.runs


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
    monkeypatch.setattr("lammps_jobs.logs.log_reader.BLOCK", size)
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


HEAD, ROWS = (
    "LAMMPS (2 Aug 2023 - Update 1)\n",
    "Per MPI rank memory allocation = 3 | 3 | 3 Mbytes\nStep Temp\n  0  1.4\n",
)
WALL = "Total wall time: 0:00:01\n"


def _rows(last):
    return f"{ROWS}  {last}  1.5\n"


def _loop(steps=10, seconds="0.5"):
    return f"Loop time of {seconds} on 1 procs for {steps} steps with 32 atoms\n\n"


RUN = "run 10\n" + ROWS + _loop()
ONE = HEAD + "units lj\n" + RUN
ODD = {
    "interleaved": (HEAD + ROWS + HEAD + ROWS + _loop() + WALL + _loop() + WALL, "two LAMMPS runs wrote to this file at once"),
    "interleaved and one killed": (HEAD + HEAD + ROWS + _loop() + WALL + _loop(), "two LAMMPS runs wrote to this file at once"),
    "interleaved, one without a run": (HEAD + HEAD + ROWS + _loop() + WALL + WALL, "two LAMMPS runs wrote to this file at once"),
    "one after the other": (ONE + WALL + ONE + WALL, None),
    "indented log": (ONE + "  log prod.log\n" + RUN + WALL, "`log prod.log` writes the rest to another file"),
    "tab before log": (ONE + "\tlog prod.log append\n" + RUN + WALL, "`log prod.log append` writes the rest to another file"),
    "printed log": (ONE + 'print "log x.log"\nlog x.log\n' + RUN + WALL, None),
    "printed log, not echoed": (HEAD + ROWS + _loop() + "log x.log\n" + ROWS + _loop() + WALL, None),
    "silent print before log": (ONE + 'print "$x" screen no\nlog x.log\n' + RUN + WALL, "`log x.log` writes"),
    "printed start": (ONE + 'print "LAMMPS (production) begins"\nLAMMPS (production) begins\n' + RUN + WALL, None),
    "printed within a run": (HEAD + "run 10\n" + ROWS + "LAMMPS (here)\n" + _loop() + WALL, None),
    "printed wall time": (ONE + "Total wall time: 1:00:00 so far\n" + RUN + WALL, None),
    "printed error": (ONE + 'print "ERROR estimate: 0.1"\nERROR estimate: 0.1\n' + RUN + WALL, None),
    "printed like an error": (ONE + 'print "ERROR: drift"\nERROR: drift\n' + RUN + WALL, None),
    "printed like an error, not echoed": (HEAD + ROWS + _loop() + "ERROR: drift\n" + ROWS + _loop() + WALL, None),
    "an error of old": (ONE + "ERROR: Bad pair (pair.cpp:9)\n", "LAMMPS stopped with ERROR: Bad pair"),
    "an error without source": (ONE + "ERROR: Package command after it\n", "LAMMPS stopped with ERROR: Package command"),
    "an error of a print": (
        HEAD + "print ${x} it's\nERROR: Unmatched quote (src/input.cpp:688)\n",
        "LAMMPS stopped with ERROR: Unmatched",
    ),
    "halted in silence": (HEAD + "run 100 # all\n" + ROWS + _loop(20) + WALL, "`run 100` did 20 steps"),
    "halted with options": (HEAD + "run 100 post no\n" + ROWS + _loop(20) + WALL, "`run 100 post no` did 20 steps"),
    "skipped": (ONE + "run 50\n" + WALL, "`run 50` printed no Loop time"),
    "skipped before another": (ONE + "run 50\nrun 60\n" + ROWS + _loop(60) + WALL, "`run 50` printed no Loop time"),
    "upto": (ONE + "run 10 upto\n" + _rows(10) + _loop(9) + WALL, None),
    "upto in a style without steps": (ONE + "run 100 upto\n" + ROWS.replace("Step ", "")  + _loop(9) + WALL, None),
    "halted upto": (ONE + "run 100 upto\n" + _rows(10) + _loop(9) + WALL, "`run 100 upto` ended at step 10, as with"),
    "start and stop": (ONE + "run 20 start 0 stop 40 pre no\n" + ROWS + _loop(20) + WALL, None),
    "halted with start and stop": (ONE + "run 20 start 0 stop 40\n" + ROWS + _loop(7) + WALL, "stop 40` did 7 steps"),
    "every": (ONE + "run 25 every 10 NULL\n" + (ROWS + _loop(10)) * 2 + ROWS + _loop(5) + WALL, None),
    "every with a command": (
        ONE + "run 20 every 10 \"print 'at $s'\"\n" + (ROWS + _loop(10) + "print 'at $s'\nat 20\n") * 2 + WALL, None
    ),
    "every and upto": (ONE + "run 10 upto every 7 NULL\n" + _rows(7) + _loop(7) + _rows(10) + _loop(3) + WALL, None),
    "halted within every": (
        ONE + "run 20 every 10 NULL\n" + ROWS + _loop(6) + ROWS + _loop(1) + WALL, "`run 20 every 10 NULL` did 6 steps"
    ),
    "halted between every": (ONE + "run 20 every 10 NULL\n" + ROWS + _loop(10) + WALL, "NULL` did 10 steps, as with"),
    "halted between every, and another": (
        ONE + "run 20 every 10 NULL\n" + ROWS + _loop(10) + RUN + WALL, "NULL` did 10 steps, as with"
    ),
    "a run within every": (
        ONE + "run 20 every 10 'run 2'\n" + (ROWS + _loop(10) + "run 2\n" + ROWS + _loop(2)) * 2 + WALL, None
    ),
    "a minimization that was halted": (
        ONE + "minimize 0 0 100 100\n" + ROWS + _loop(7) + "\n  Stopping criterion = walltime limit reached\n" + WALL,
        "the minimization was stopped early",
    ),
    "with a variable": (ONE + "run ${n}\nrun 20\n" + ROWS + _loop(20) + WALL, None),
    "minimized": (ONE + "minimize 0 1e-6 100 1000\n" + ROWS + _loop(7) + WALL, None),
    "printed run": (ONE + 'print "run 7"\nrun 7\n' + RUN + WALL, None),
    "timer off": (
        HEAD + "timer off\nNew timer settings: style=off  mode=nosync  timeout=off\nrun 10\n" + ROWS + WALL,
        "no times were printed: the ",
    ),
    "timer off after a run": (
        HEAD + ROWS + _loop() + "New timer settings: style=off  mode=nosync  timeout=off\n" + ROWS + WALL,
        "no times were printed: the ",
    ),
    "timer off, and on again": (
        HEAD + "timer off\nNew timer settings: style=off  mode=nosync  timeout=off\nrun 10\n" + ROWS
        + "timer normal\nNew timer settings: style=normal  mode=nosync  timeout=off\n" + RUN + WALL,
        "no times were printed: the ",
    ),
    "timer off, and on before the run": (
        ONE + "New timer settings: style=off  mode=nosync\nNew timer settings: style=normal  mode=nosync\n" + RUN + WALL, None
    ),
    "a halt in silence, upto in a style without steps": (
        ONE + "fix h all halt 5 v_s > 9 error continue message no\nrun 100 upto\n" + ROWS.replace("Step ", "") + _loop(9) + WALL,
        "stopped the run can",
    ),
    "a halt that says so, upto in a style without steps": (
        ONE + "fix h all halt 5 v_s > 9 error continue\nrun 100 upto\n" + ROWS.replace("Step ", "") + _loop(9) + WALL, None
    ),
    "a halt in silence, and no commands": (
        HEAD + "fix h all halt 5 v_s > 9 message no\necho none\n" + ROWS + _loop(9) + WALL, "stopped the run can"
    ),
    "echo screen": (HEAD + "echo screen\n" + ROWS + _loop(), "or the input's `quit` ended it"),
    "a quoted run that was halted": (ONE + '"run" 100\n' + ROWS + _loop(20) + WALL, "`run 100` did 20 steps"),
    "a run of a quoted number": (ONE + "run '100' # all\n" + ROWS + _loop(20) + WALL, "`run 100` did 20 steps"),
    "a quoted run that ended": (ONE + '"run" "20"\n' + ROWS + _loop(20) + WALL, None),
    "fix print of a Loop time": (
        HEAD + f'fix p all print 5 "{_loop().strip()}"\nrun 20\n' + ROWS + _loop() + _loop(20) + WALL,
        "32 atoms\"` prints lines that can't be told from LAMMPS' own: change the text, or add `screen no`",
    ),
    "fix print of a halt": (
        HEAD + "fix p all print 5 'Fix halt condition: $t'\nrun 20\n" + ROWS + "Fix halt condition: 3\n" + _loop(20) + WALL,
        "can't be told from LAMMPS' own",
    ),
    "fix print of no number": (
        HEAD + 'fix p all print 5 "T is nan"\nrun 20\n' + ROWS + "T is nan\n" + _loop(20) + WALL,
        "can't be told from LAMMPS' own",
    ),
    "fix print to a file": (
        HEAD + 'fix p all print 5 "Fix halt condition $t" file t.txt screen no\nrun 20\n' + ROWS + _loop(20) + WALL, None
    ),
    "fix print of other text": (
        HEAD + 'fix p all print 5 "t is $t"\nrun 20\n' + ROWS + "t is 3\n" + _loop(20) + WALL, None
    ),
    "fix print like an error, and killed": (
        HEAD + 'fix p all print 5 "ERROR: drift $t"\nrun 20\n' + ROWS + "ERROR: drift 3\n", "the log breaks off"
    ),
    "fix print like an error, and ended": (
        HEAD + 'fix p all print 5 "ERROR: drift $t"\nrun 20\n' + ROWS + "ERROR: drift 3\n" + _loop(20) + WALL, None
    ),
    "log none": (ONE + "log none\n", "`log none` writes the rest nowhere"),
    "without atoms at the end": (ONE + RUN.replace("with 32 atoms", "with 0 atoms") + WALL, "the run ended without atoms: all were lost"),
    "quit that was printed": (ONE + "print 'quit'\nquit\n", "the log breaks off"),
}  # fmt: skip


MELT = """\
units lj
lattice fcc 0.8442
region box block 0 3 0 3 0 3
create_box 1 box
create_atoms 1 box
mass 1 1.0
velocity all create 1.44 87287
pair_style lj/cut 2.5
pair_coeff 1 1 1.0 1.0 2.5
fix 1 all nve
variable s equal step
"""
HALT = "fix stop all halt 10 v_s > 15 error continue message no\n"


@pytest.mark.parametrize(
    ("commands", "reason"),
    [
        ('"run" "20"\n', None),
        (HALT + '"run" 50\n', "`run 50` did 20 steps, as with a `fix halt`"),
        ('fix p all print 10 "Loop time of 5 on 1 procs for 10 steps with 108 atoms"\nrun 20\n', "`fix p all print 10"),
        ('fix p all print 10 "Loop time of ${s}" screen no file t.txt\nrun 20\n', None),
    ],
)
def test_a_real_lammps_says_the_same(tmp_path, commands, reason):
    (tmp_path / "in.melt").write_text(MELT + commands)
    subprocess.run([program("lmp"), "-in", "in.melt", "-screen", "none"], cwd=tmp_path, check=True)
    failure = read_log(tmp_path / "log.lammps").failure
    assert failure is None if reason is None else reason in failure


@pytest.mark.parametrize("name", ODD)
def test_what_an_input_prints_or_leaves_out_does_not_mislead(name):
    text, reason = ODD[name]
    report = _parse(text)
    if reason is None:
        assert report.failure is None
        assert report.loop_time == 0.5 * len(report.runs)
        assert len(report.runs) == text.rpartition(HEAD)[2].count("Loop time of")
    else:
        assert reason in (report.failure or "completed")


PRINTED = [
    ONE + f'print """\n{text}"""\n\n{text.replace("$x", "5")}\n' + RUN + WALL
    for text in (f"{_loop()}{WALL}", f"{HEAD}$x\n", _loop())
]


@pytest.mark.parametrize("text", PRINTED)
def test_what_a_print_over_several_lines_prints_is_not_of_a_run(text):
    report = _parse(text)
    assert (report.failure, report.steps, report.loop_time) == (None, 20, 1.0)


def test_a_hole_is_the_trace_of_two_that_wrote_at_once():
    # A second LAMMPS in the same directory emptied the file, and the first went on at its own place in it.
    hole = (HEAD + "units lj\nrun 10\n" + ROWS).encode() + b"\0" * 500 + f"  9  1.5\n{_loop()}{WALL}".encode()
    assert "two LAMMPS runs" in parse_log(hole.splitlines(keepends=True)).failure


def test_a_variable_with_several_values_shows_them_all():
    body = "".join(
        f"region box block 0 ${{x}} 0 $y\nregion box block 0 {x} 0 $y\nregion box block 0 {x} 0 5\n"
        for x in (2, 3, 2, 4)
    )
    report = _parse(HEAD + body)
    assert report.variables == {"x": "2", "y": "5"}
    assert report.several == {"x": ("2", "3", "4")}


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
