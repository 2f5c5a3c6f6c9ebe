"""A log that was reported and has not changed is not reported again under another key, by either epilogue."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lammps_jobs.reported_logs import BESIDE, LARGEST, LINES, ReportedLog
from tests.lammps_jobs.peer import error
from tests.lammps_jobs.test_epilogue_sh import FIXTURES, NOBODY, OWN, SCRIPT, SHELLS
from tests.serving import ROOT

pytestmark = pytest.mark.one_database

PYTHON = (sys.executable, "-m", "lammps_jobs.epilogue")
EPILOGUES = {"python": PYTHON, **{shell: (shell, str(SCRIPT)) for shell in SHELLS}}
JOB = {"PBS_JOBID": "7.a"}


@pytest.fixture
def log(tmp_path: Path) -> Path:
    (tmp_path / "job").mkdir()
    return Path(shutil.copy(FIXTURES / "mpi.log", tmp_path / "job" / "log.lammps"))


@pytest.fixture
def report(tmp_path: Path, log: Path):
    """Runs the epilogue of the given name in the job's directory, and returns what it says."""

    def run(by: str, url: str, *options: str, **variables: str) -> str:
        environment = {name: value for name, value in os.environ.items() if not name.startswith(OWN)}
        environment |= {"TAILRACE_URL": url, "TAILRACE_STREAM": "s", "TAILRACE_SPOOL": str(tmp_path / "spool")}
        environment |= {"TAILRACE_CONF": "/no", "PYTHONPATH": f"{ROOT}:{ROOT / 'client'}", **variables}
        done = subprocess.run(
            [*EPILOGUES[by], *options], env=environment, cwd=log.parent, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0
        return done.stdout + done.stderr

    return run


PAIRS = [
    pytest.param(one, other, marks=[pytest.mark.combinations] if other in SHELLS[1:] or one in SHELLS[1:] else [])
    for one in EPILOGUES
    for other in EPILOGUES
    if "python" in (one, other) or one == other
]


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_a_run_that_does_not_start_is_not_the_run_before_again(report, peer, log, first, second):
    report(first, peer.url, "--step", "1", **JOB)
    said = report(second, peer.url, "--step", "2", "--log", str(log), **JOB)
    assert "nothing posted: " in said
    assert "was reported already, as pbs::7.a:1, and has not changed since" in said
    report(second, peer.url, "--step", "1", **JOB)  # the server knows that
    shutil.copy(FIXTURES / "serial.log", log)
    report(second, peer.url, "--step", "2", **JOB)
    assert peer.keys == ["pbs::7.a:1", "pbs::7.a:1", "pbs::7.a:2"]


@pytest.mark.parametrize("by", ["python", SHELLS[0]])
def test_neither_a_later_job_nor_a_hook_reports_it_again_but_whoever_gives_a_key_does(report, peer, log, by):
    report(by, peer.url, "--step", "1", **JOB)
    report(by, peer.url, **JOB)
    report(by, peer.url, PBS_JOBID="8.a")
    report(by, peer.url)
    assert peer.keys == ["pbs::7.a:1"]
    shutil.copy(log, log.with_name("other.log"))
    report(by, peer.url, "--key", "k", **JOB)
    report(by, peer.url, "--stream", "t", **JOB)
    report(by, peer.url, "--step", "2", "--log", "other.log", **JOB)
    assert peer.keys[1:] == ["k", "pbs::7.a", "pbs::7.a:2"]


@pytest.mark.parametrize("by", ["python", SHELLS[0]])
def test_what_is_kept_counts_as_reported_and_what_is_refused_or_was_known_does_not(report, peer, by):
    known = {"first": 1, "last": 1, "accepted": 0, "duplicates": 1, "models": {}}
    peer.answers = [error(400, "x.z is unknown"), (200, {}, json.dumps(known).encode()), error(404, "no stream yet")]
    for step in "1234":
        said = report(by, peer.url, "--step", step, **JOB)
    assert peer.keys == ["pbs::7.a:1", "pbs::7.a:2", "pbs::7.a:3"]
    assert "was reported already, as pbs::7.a:3" in said


@pytest.mark.parametrize("by", ["python", SHELLS[0]])
def test_where_nothing_can_be_noted_it_is_reported_as_before(report, peer, tmp_path, by):
    (tmp_path / "spool").mkdir()
    (tmp_path / "spool" / ".reported").write_text("in the way")
    (tmp_path / "job" / BESIDE).mkdir()
    assert "observation 1" in report(by, peer.url, "--step", "1", **JOB)
    assert "observation" in report(by, peer.url, "--step", "2", **JOB)
    assert len(peer.keys) == 2


@pytest.mark.parametrize("by", ["python", SHELLS[0]])
def test_the_notes_stay_small(report, peer, log, tmp_path, by):
    ReportedLog(log, "s", NOBODY, str(tmp_path / "spool")).remember("a")
    (notes,) = (tmp_path / "spool" / ".reported").iterdir()
    notes.write_text(f"{'0' * 100}\n" * (LARGEST // 100))
    report(by, peer.url, "--step", "1", **JOB)
    assert len(notes.read_text().splitlines()) == LINES
    assert list(notes.parent.iterdir()) == [notes]
    assert "was reported already" in report(by, peer.url, "--step", "2", **JOB)


@pytest.mark.parametrize(("first", "second"), [("python", SHELLS[0]), (SHELLS[0], "python")])
def test_a_hook_with_another_spool_does_not_report_it_again(report, peer, log, tmp_path, first, second):
    """A site's hook can't read the user's spool, and gives the run no name."""
    report(first, peer.url, "--step", "1", **JOB)
    said = report(second, peer.url, TAILRACE_SPOOL=str(tmp_path / "of the site"), **JOB)
    assert "was reported already, as pbs::7.a:1, and has not changed since" in said
    shutil.copy(FIXTURES / "serial.log", log)
    report(second, peer.url, TAILRACE_SPOOL=str(tmp_path / "of the site"), **JOB)
    assert peer.keys == ["pbs::7.a:1", "pbs::7.a"]


@pytest.mark.parametrize("by", ["python", SHELLS[0]])
@pytest.mark.parametrize(
    "way", ["a link", "a pipe", "a directory that everyone may write", "a directory of another user"]
)
def test_a_hook_writes_nothing_where_another_user_may_have_led_it(report, peer, log, tmp_path, by, way):
    notes, aim = log.with_name(BESIDE), tmp_path / "aim"
    aim.write_text("")
    if way == "a link":
        notes.symlink_to(aim)
    elif way == "a pipe":
        os.mkfifo(notes)
    elif way == "a directory of another user":
        if os.geteuid() != 0:
            pytest.skip("only root can give a directory away")
        os.chown(log.parent, 4711, 4711)
    else:
        log.parent.chmod(0o1777)
    assert "observation 1" in report(by, peer.url, "--step", "1", **JOB)
    assert "was reported already" in report(by, peer.url, **JOB)  # by the notes in the spool
    assert aim.read_text() == ""
    assert notes.is_symlink() or notes.is_fifo() or not notes.exists()
