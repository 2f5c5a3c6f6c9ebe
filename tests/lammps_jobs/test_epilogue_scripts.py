"""The scripts that users and sites install, as far as they need no Slurm (test_slurm.py has the rest)."""

import json
import os
import shutil
import subprocess
import sys
import threading
from datetime import datetime
from pathlib import Path

import pytest

from lammps_jobs.slurm_job import runs_in
from tests.lammps_jobs.peer import Peer
from tests.serving import ROOT

pytestmark = pytest.mark.one_database

EPILOGUES = ROOT / "lammps_jobs" / "epilogues"
FIXTURES = Path(__file__).with_name("fixtures")
SHELLS = [shell for shell in ("dash", "bash") if shutil.which(shell)]


@pytest.fixture
def environment(peer: Peer, tmp_path: Path) -> dict[str, str]:
    own = ("TAILRACE_", "SLURM_", "FLUX_", "LSB_", "PBS_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    return kept | {
        "TAILRACE_URL": peer.url,
        "TAILRACE_SPOOL": str(tmp_path / "spool"),
        "TAILRACE_PYTHON": sys.executable,
        "TAILRACE_CONF": str(tmp_path / "no.conf"),
        "TAILRACE_HOME": str(ROOT),
        "TAILRACE_STREAM": "lammps-runtime",
        "TAILRACE_FEATURES": "x y z",
    }


@pytest.fixture
def job(tmp_path: Path, environment: dict[str, str]):
    """Runs a job script that sources trap.sh; LAMMPS is a copy of a real log."""
    (tmp_path / "work").mkdir()

    def run(shell: str, *lines: str, code: int = 0, **more: str) -> str:
        script = tmp_path / "job.sh"
        script.write_text("\n".join([f". {EPILOGUES}/trap.sh", *lines]) + "\n")
        done = subprocess.run(
            [shell, str(script)], cwd=tmp_path / "work", env=environment | more, capture_output=True, text=True,
            timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stderr
        return done.stdout + done.stderr

    return run


LAMMPS = f"cp {FIXTURES}/mpi.log log.lammps"


@pytest.mark.parametrize("shell", SHELLS)
def test_a_job_script_reports_its_run_as_it_ends(job, peer, shell):
    assert job(shell, LAMMPS) == "tailrace: observation 1 of lammps-runtime: 0.0158455\n"
    assert peer.requests[0][2]["x"] == {"processes": 2, "x": 2, "y": 2, "z": 3}


@pytest.mark.parametrize("shell", SHELLS)
def test_where_there_is_no_python_a_shell_reports_it(job, peer, shell):
    said = job(shell, LAMMPS, "exit 7", code=7, TAILRACE_PYTHON="none")
    assert said == "tailrace: observation 1 of lammps-runtime: 0.0158455\n"
    assert peer.requests[0][2]["x"] == {"processes": 2, "x": 2, "y": 2, "z": 3}
    done = subprocess.run(
        [EPILOGUES / "report.sh", "lammps_jobs.slurm_job", "7"], env={"PATH": os.environ["PATH"], "TAILRACE_PYTHON": "none"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "needs Python 3.9" in done.stderr


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("end", "code"), [("exit 7", 7), ("set -eu; false", 1), ("set -eu; echo $no_such", None), ("", 0)]
)
def test_the_exit_code_stays_the_jobs_own(job, peer, shell, end, code):
    expected = (2 if shell == "dash" else 1) if code is None else code
    job(shell, LAMMPS, end, code=expected)
    assert len(peer.requests) == 1
    job(shell, LAMMPS, end, code=expected, TAILRACE_PYTHON="/no/such/python")
    assert len(peer.requests) == 1


def test_bash_needs_no_home(job, peer):
    assert "observation 1" in job("bash", LAMMPS, TAILRACE_HOME="")


def test_a_log_that_was_there_before_is_not_the_jobs(job, peer, tmp_path):
    shutil.copy(FIXTURES / "serial.log", tmp_path / "work" / "log.lammps")
    assert "was there before this job and has not changed" in job("sh", "true")
    assert "observation 1" in job("sh", LAMMPS)
    assert peer.requests[0][2]["y"] == 0.0158455


def test_the_log_may_have_any_name_and_the_script_may_go_anywhere(job, peer):
    assert "observation 1" in job("sh", LAMMPS.replace("log.lammps", "my.log"), "cd /", TAILRACE_LOG="my.log")


def test_a_run_that_was_killed_is_not_reported(job, peer):
    assert "breaks off at step 25" in job("sh", LAMMPS.replace("mpi.log", "killed.log"), "exit 137", code=137)
    assert peer.requests == []


def test_a_python_that_can_not_run_costs_one_line(job, peer):
    said = job("sh", LAMMPS, TAILRACE_PYTHON="/no/such/python")
    assert said.splitlines()[-1].startswith("tailrace: nothing posted: /no/such/python could not run the epilogue")


def test_a_site_keeps_its_settings_in_a_file(job, peer, tmp_path):
    conf = tmp_path / "epilogue.conf"
    conf.write_text(f"TAILRACE_URL={peer.url}\nTAILRACE_TOKEN=trc_site\n")
    job("sh", LAMMPS, TAILRACE_CONF=str(conf), TAILRACE_URL="http://127.0.0.1:9")
    assert peer.requests[0][1]["Authorization"] == "Bearer trc_site"


def blocked(tmp_path: Path) -> tuple[Path, Path]:
    """A Python that does nothing until a gate is opened, and the gate."""
    gate, python = tmp_path / "gate", tmp_path / "python"
    os.mkfifo(gate)
    python.write_text(f'#!/bin/sh\nread go < {gate}\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    return python, gate


SCONTROL = """\
#!/bin/sh
cat <<END
JobId=12 ArrayJobId=10 ArrayTaskId=3 JobName=my job
   UserId=root(0) GroupId=root(0) MCS_label=N/A
   JobState=COMPLETED Reason=None Dependency=(null)
   Requeue=1 Restarts=1 BatchFlag=1 Reboot=0 ExitCode=0:0
   StartTime=2026-11-20T07:13:27 EndTime=2026-11-20T07:13:29 Deadline=N/A
   WorkDir=DIRECTORY
   Comment=tailrace lammps-runtime log=log.%a x

JobId=10 ArrayJobId=10 ArrayTaskId=4-9%2 JobName=my job
   WorkDir=DIRECTORY
END
"""


@pytest.fixture
def programs(tmp_path: Path, environment: dict[str, str]) -> Path:
    directory = tmp_path / "bin"
    directory.mkdir()
    environment["PATH"] = f"{directory}:{environment['PATH']}"
    return directory


def written(log: Path, moment: float = datetime(2026, 11, 20, 7, 13, 28).timestamp()) -> None:
    """Put a log there that was last written at this time, while the recorded job ran."""
    shutil.copy(FIXTURES / "mpi.log", log)
    os.utime(log, (moment, moment))


def install(programs: Path, name: str, text: str) -> None:
    (programs / name).write_text(text)
    (programs / name).chmod(0o755)


def test_the_controllers_hook_does_not_wait_for_its_report(peer, environment, programs, tmp_path):
    """The report can't even begin before the hook has ended."""
    install(programs, "scontrol", SCONTROL.replace("DIRECTORY", str(tmp_path)))
    written(tmp_path / "log.3")
    python, gate = blocked(tmp_path)
    said = tmp_path / "epilog.log"
    hook = environment | {
        "TAILRACE_PYTHON": str(python), "TAILRACE_EPILOG_LOG": str(said), "SLURM_JOB_ID": "12",
        "SLURM_CLUSTER_NAME": "c1", "SLURM_JOB_COMMENT": "tailrace lammps-runtime log=log.%a x",
    }  # fmt: skip
    del hook["TAILRACE_STREAM"]
    subprocess.run([EPILOGUES / "epilog_slurmctld.sh"], env=hook, check=True, timeout=60)
    assert peer.requests == []
    gate.write_text("go\n")
    until_said(said, "observation 1 of lammps-runtime")
    (_, _, body) = peer.requests[0]
    assert body["key"] == "slurm:c1:10:task3:restart1"
    assert body["x"] == {"processes": 2, "x": 2}
    assert said.read_text().startswith("job 12: tailrace: ")


def until_said(path: Path, words: str) -> None:
    from tests.slurm import until

    until(lambda: path.exists() and words in path.read_text(), lambda: path.read_text() if path.exists() else "nothing")


@pytest.mark.parametrize("comment", [None, "", "tailrace", "other words", "tailrace2 s x"])
def test_the_controllers_hook_leaves_other_jobs_alone(environment, comment):
    hook = {"TAILRACE_PYTHON": "/no/such/python", "SLURM_JOB_ID": "12"}
    hook |= {} if comment is None else {"SLURM_JOB_COMMENT": comment}
    done = subprocess.run(
        ["/bin/sh", EPILOGUES / "epilog_slurmctld.sh"], env=hook, capture_output=True, check=True, timeout=60
    )
    assert done.stdout + done.stderr == b""


@pytest.mark.parametrize("more", [{}, {"SLURM_STEP_ID": "0"}, {"SLURM_PROCID": "1"}, {"TAILRACE_AFTER": "11"}])
def test_the_task_hook_acts_once_a_job_and_only_for_who_asks(peer, environment, programs, tmp_path, more):
    install(programs, "scontrol", SCONTROL.replace("DIRECTORY", str(tmp_path)))
    written(tmp_path / "log.lammps")
    hook = environment | {"SLURM_JOB_ID": "12", "SLURM_RESTART_COUNT": "1"} | more
    for asked in ({}, {"TAILRACE_STREAM": ""}):
        subprocess.run([EPILOGUES / "task_epilog.sh"], env=hook | asked, check=True, timeout=60)
    assert len(peer.requests) == (0 if more else 1)


def test_a_controller_that_is_away_for_a_moment_costs_no_result(peer, environment, programs, tmp_path):
    install(programs, "scontrol", "#!/bin/sh\necho 'Unable to contact slurm controller' >&2\nexit 1\n")
    written(tmp_path / "log.lammps")
    job = {"SLURM_CLUSTER_NAME": "c1", "SLURM_JOB_ID": "12"}
    task = environment | job | {"SLURM_RESTART_COUNT": "1"}
    subprocess.run([EPILOGUES / "task_epilog.sh"], env=task, cwd=tmp_path, check=True, timeout=60)
    shutil.copy(FIXTURES / "serial.log", tmp_path / "log.lammps")
    told = {"SLURM_JOB_RESTART_COUNT": "2", "SLURM_JOB_WORK_DIR": str(tmp_path)}
    comment = ["--comment", "tailrace lammps-runtime x", "12"]
    report = [EPILOGUES / "report.sh", "lammps_jobs.slurm_job", *comment]
    subprocess.run(report, env=environment | job | told, check=True, timeout=60)
    assert peer.keys == ["slurm:c1:12:restart1", "slurm:c1:12:restart2"]


def test_what_slurm_says_of_a_job_is_read_as_it_is_meant():
    text = SCONTROL.partition("END\n")[2].replace("DIRECTORY", "/home/some one/work dir")
    (run,) = runs_in(text)
    assert (run.job, run.array, run.task, run.restarts) == ("12", "10", "3", "1")
    assert run.is_over
    assert run.log("%A/log.%a.%j%%") == "/home/some one/work dir/10/log.3.12%"
    running = text.replace("COMPLETED", "RUNNING")
    assert not runs_in(running.replace("EndTime=2026", "EndTime=2126"))[0].is_over
    assert not runs_in(running.replace("EndTime=2026-11-20T07:13:29", "EndTime=Unknown"))[0].is_over
    assert runs_in("") == []


@pytest.mark.parametrize(
    ("state", "is_over"),
    [
        ("COMPLETED", True),
        ("NODE_FAIL", True),
        ("TIMEOUT", True),
        ("RUNNING", False),
        ("PENDING", False),
        ("COMPLETING", False),
    ],
)
def test_a_job_is_over_by_its_state_whatever_the_controllers_clock_says(state, is_over):
    text = WHOLE_JOB.format(directory="/").replace("EndTime=2026", "EndTime=2126").replace("COMPLETED", state)
    (run,) = runs_in(text.replace("   Command=", "   Comment=\n   JobState=FAILED \n   Command="))
    assert run.is_over is is_over


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("JobName=", "JobName=a HetJobOffset=2 JobId=9 StartTime=2000-01-01T00:00:00 EndTime=Unknown Restarts=7 "),
        (
            "   Command=",
            "   Command=job.sh HetJobOffset=2 JobId=9 ArrayTaskId=5 StartTime=Unknown Restarts=7 WorkDir=/ ",
        ),
        ("   WorkDir=", "   Comment=EndTime=Unknown StartTime=Unknown PackJobOffset=1 Restarts=7\n   WorkDir="),
    ],
)
def test_what_users_write_is_taken_for_no_field_of_slurm(written, words):
    plain = WHOLE_JOB.format(directory="/home/EndTime=Unknown HetJobOffset=3")
    assert written in plain
    (run,) = runs_in(plain.replace(written, words))
    assert run == runs_in(plain)[0]
    assert (run.job, run.array, run.task, run.restarts) == ("12", "10", "3", "1")
    assert (run.began, run.ended) == ("2026-11-20T07:13:27", "2026-11-20T07:13:29")
    assert run.directory == "/home/EndTime=Unknown HetJobOffset=3"


WHOLE_JOB = """\
JobId=12 ArrayJobId=10 ArrayTaskId=3 ArrayTaskThrottle=2 JobName=job.sh
   UserId=ada(1000) GroupId=ada(1000) MCS_label=N/A
   JobState=COMPLETED Reason=None Dependency=(null)
   Requeue=1 Restarts=1 BatchFlag=1 Reboot=0 ExitCode=0:0
   SubmitTime=2026-11-20T07:13:20 EligibleTime=2026-11-20T07:13:20
   StartTime=2026-11-20T07:13:27 EndTime=2026-11-20T07:13:29 Deadline=N/A
   SuspendTime=None SecsPreSuspend=0 LastSchedEval=2026-11-20T07:13:27 Scheduler=Main
   Command=/home/ada/job.sh
   WorkDir={directory}
"""


def test_a_job_without_a_run_is_said_to_have_none(environment, programs):
    install(
        programs,
        "scontrol",
        "#!/bin/sh\ncat <<END\nJobId=12 ArrayJobId=10 ArrayTaskId=4-9 JobName=a\n   WorkDir=/\nEND\n",
    )
    report = [EPILOGUES / "report.sh", "lammps_jobs.slurm_job", "10", "x"]
    done = subprocess.run(report, env=environment, check=True, timeout=60, capture_output=True, text=True)
    assert "nothing posted: scontrol describes no run of job 10 that has begun" in done.stdout + done.stderr


TASK = """\
JobId={job} ArrayJobId=10 ArrayTaskId={task} JobName=a
   JobState={state} Reason=None Dependency=(null)
   StartTime=2026-11-20T07:13:27 EndTime=2026-11-20T07:13:29 Deadline=N/A
   NodeList={nodes}
   BatchHost=n1
   WorkDir={directory}

"""


def test_a_job_that_was_cancelled_while_it_waited_is_not_reported(peer, environment, programs, tmp_path):
    """Slurm gives it a start time, and the log in its directory is another job's."""
    for nodes in ("", "(null)"):
        said = TASK.format(job=11, task=1, state="CANCELLED", nodes=nodes, directory=tmp_path)
        install(programs, "scontrol", f"#!/bin/sh\ncat <<END\n{said}END\n")
        written(tmp_path / "log.lammps")
        assert "job 11 never started (CANCELLED)" in reported(environment, "11", "x")
    assert peer.requests == []


def test_tasks_that_share_a_log_are_not_reported_and_each_with_its_own_is(peer, environment, programs, tmp_path):
    tasks = [TASK.format(job=9 + n, task=n, state="COMPLETED", nodes="n1", directory=tmp_path) for n in (1, 2)]
    install(programs, "scontrol", f"#!/bin/sh\ncat <<END\n{''.join(tasks)}END\n")
    for name in ("log.lammps", "log.1", "log.2"):
        written(tmp_path / name)
    said = reported(environment, "10", "x")
    assert f"tasks 1, 2 of job 10 have the same log, {tmp_path}/log.lammps: give each a log of its own" in said
    assert peer.requests == []
    reported(environment | {"TAILRACE_LOG": "log.%a", "SLURM_CLUSTER_NAME": "c"}, "10", "x")
    assert peer.keys == ["slurm:c:10:task1", "slurm:c:10:task2"]


def test_a_log_that_a_later_job_wrote_is_not_this_ones(peer, environment, programs, tmp_path):
    said = TASK.format(job=11, task=1, state="COMPLETED", nodes="n1", directory=tmp_path)
    install(programs, "scontrol", f"#!/bin/sh\ncat <<END\n{said}END\n")
    written(tmp_path / "log.lammps", datetime(2026, 11, 20, 7, 15).timestamp())
    assert "written 91 s after the job ended, by another job" in reported(environment, "11", "x")
    assert peer.requests == []


@pytest.mark.parametrize(("other", "log", "is_posted"), [
    ("20|20|N/A|2026-11-20T07:13:29|next|DIRECTORY", "log.lammps", False),  # a chain in one directory
    ("20|20|N/A|2026-11-20T07:13:29|next|DIRECTORY/b", "log.lammps", True),
    ("20|20|N/A|2026-11-20T07:13:28|before|DIRECTORY", "log.lammps", True),
    ("20|20|N/A|2026-11-20T07:13:33|after|DIRECTORY", "log.lammps", True),
    ("20|20|N/A|N/A|waits|DIRECTORY", "log.lammps", True),
    ("20|20|N/A|2026-11-20T07:13:30|tailrace-11|DIRECTORY", "log.lammps", True),
    ("20|10|2|2026-11-20T07:13:29|task|DIRECTORY", "log.%3a", True),
    ("20|19|1|2026-11-20T07:13:29|task|DIRECTORY", "log.%3a", False),
    ("20|20|N/A|2026-11-20T07:13:29|next|DIRECTORY", "log.%j", True),
])  # fmt: skip
def test_a_log_that_the_next_job_in_the_directory_may_have_written_is_not_this_ones(
    peer, environment, programs, tmp_path, other, log, is_posted
):
    said = TASK.format(job=11, task=1, state="COMPLETED", nodes="n1", directory=tmp_path)
    said = said.replace("   JobState", "   UserId=a user(7) GroupId=a(7)\n   JobState")
    install(programs, "scontrol", f"#!/bin/sh\ncat <<END\n{said}END\n")
    asked = 'case "$*" in *--user=7*) ;; *) exit 1 ;; esac'
    install(programs, "squeue", f"#!/bin/sh\n{asked}\necho '{other.replace('DIRECTORY', str(tmp_path))}'\n")
    written(tmp_path / log.replace("%3a", "001").replace("%j", "11"), datetime(2026, 11, 20, 7, 13, 31).timestamp())
    answer = reported(environment | {"TAILRACE_LOG": log}, "11", "x")
    assert len(peer.requests) == is_posted
    assert is_posted or "may be that of job 20, which began in the same directory when job 11 had ended" in answer


@pytest.mark.parametrize("job", ["", "abc", "12_[1-3]", "12,13", "12;c", "-1"])
def test_what_is_no_job_is_not_asked_for(peer, environment, programs, tmp_path, job):
    """`scontrol show job ""` lists the jobs of all users."""
    written(tmp_path / "log.lammps")
    install(programs, "scontrol", SCONTROL.replace("DIRECTORY", str(tmp_path)))
    said = reported(environment, "--", job, "x")
    assert f"nothing posted: {job!r} is not a job: expected its number, such as 12, 12_3 or 12+1" in said
    assert peer.requests == []


def reported(environment: dict[str, str], *words: str) -> str:
    """What the report of a Slurm job says on standard error."""
    report = [EPILOGUES / "report.sh", "lammps_jobs.slurm_job", *words]
    return subprocess.run(report, env=environment, check=True, timeout=60, capture_output=True, text=True).stderr


def test_a_flux_job_that_never_started_is_not_reported(peer, environment, flux, programs):
    text = (programs / "flux").read_text()
    install(programs, "flux", "".join(line for line in text.splitlines(keepends=True) if '"start"' not in line))
    report = [EPILOGUES / "report.sh", "lammps_jobs.flux_job", "f2Qd7tmK", "x"]
    done = subprocess.run(report, env=environment, check=True, timeout=60, capture_output=True, text=True)
    assert "job f2Qd7tmK never started" in done.stderr
    assert peer.requests == []


def test_a_search_path_of_cd_does_not_lead_the_scripts_astray(peer, environment, tmp_path):
    """With CDPATH, `cd` may go to another directory of the same name, and prints it."""
    (tmp_path / "other" / "lammps_jobs" / "epilogues").mkdir(parents=True)
    (tmp_path / "lammps_jobs").symlink_to(EPILOGUES.parent)
    (tmp_path / "client").symlink_to(ROOT / "client")
    written(tmp_path / "log.lammps")
    report = ["sh", "lammps_jobs/epilogues/report.sh", "x"]
    own = environment | {"CDPATH": str(tmp_path / "other")}
    own.pop("TAILRACE_HOME", None)
    done = subprocess.run(report, env=own, cwd=tmp_path, timeout=60, capture_output=True, text=True, check=True)
    assert (len(peer.requests), done.stderr) == (1, "")


HETEROGENEOUS = """\
JobId=13 HetJobId=13 HetJobOffset=0 JobName=het.sh
   HetJobIdSet=13-14
   JobState=COMPLETED Reason=Resources Restarts=0
   StartTime=2026-11-20T19:06:27 EndTime=2026-11-20T19:06:45 Deadline=N/A
   WorkDir=DIRECTORY

JobId=14 HetJobId=13 HetJobOffset=1 JobName=het.sh
   HetJobIdSet=13-14
   JobState=COMPLETED Reason=Resources Restarts=0
   StartTime=2026-11-20T19:06:27 EndTime=2026-11-20T19:06:45 Deadline=N/A
   WorkDir=DIRECTORY
"""


@pytest.mark.parametrize("word", ["HetJob", "PackJob"])
def test_a_heterogeneous_job_is_one(peer, environment, programs, tmp_path, word):
    said = HETEROGENEOUS.replace("DIRECTORY", str(tmp_path)).replace("HetJob", word)
    install(programs, "scontrol", f"#!/bin/sh\ncat <<END\n{said}END\n")
    written(tmp_path / "log.lammps", datetime(2026, 11, 20, 19, 6, 40).timestamp())
    for more in (
        ["13", "x"],
        ["14", "x"],
        ["--comment", "tailrace lammps-runtime x", "13"],
        ["--comment", "tailrace s x", "14"],
    ):
        report = [EPILOGUES / "report.sh", "lammps_jobs.slurm_job", *more]
        subprocess.run(report, env=environment | {"SLURM_CLUSTER_NAME": "c"}, check=True, timeout=60)
    assert set(peer.keys) == {"slurm:c:13"}


def test_what_a_user_sets_for_slurms_commands_changes_no_report(peer, environment, programs, tmp_path):
    """These make the real `scontrol` write times as words, and shorten lists."""
    text = SCONTROL.replace("DIRECTORY", str(tmp_path)).replace(
        "cat <<END", 'test "$SLURM_TIME_FORMAT$SLURM_BITSTR_LEN$SCONTROL_ALL" = standard || exit 1\ncat <<END'
    )
    install(programs, "scontrol", text)
    written(tmp_path / "log.lammps")
    own = {"SLURM_TIME_FORMAT": "relative", "SLURM_BITSTR_LEN": "0", "SCONTROL_ALL": "1", "SLURM_CLUSTER_NAME": "c"}
    report = [EPILOGUES / "report.sh", "lammps_jobs.slurm_job", "10", "x"]
    subprocess.run(report, env=environment | own, check=True, timeout=60)
    assert peer.keys == ["slurm:c:10:task3:restart1"]


@pytest.mark.parametrize(
    ("job", "cluster"), [("12", ""), ("12;", ""), ("12;c2", "--clusters=c2 ")], ids=["own", "nameless", "other"]
)
def test_a_job_on_another_cluster_is_reported_there(environment, programs, job, cluster):
    install(programs, "sbatch", '#!/bin/sh\necho "$*"\n')
    script = str(EPILOGUES / "afterany.sh")
    done = subprocess.run(
        [script, job, "--qos=low"], env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.endswith(f" {cluster}--qos=low {script}\n")
    assert " --dependency=afterany:12 " in done.stdout


@pytest.mark.parametrize(("inside", "asked"), [({"SLURM_JOB_ID": "99"}, "here"), ({}, "c1,c2")], ids=["job", "login"])
def test_a_job_is_asked_for_on_its_own_cluster(environment, programs, inside, asked):
    install(programs, "scontrol", '#!/bin/sh\necho "asked ${SLURM_CLUSTERS:-here}" >&2\nexit 1\n')
    report = [EPILOGUES / "report.sh", "lammps_jobs.slurm_job", "10", "x"]
    done = subprocess.run(
        report,
        env=environment | inside | {"SLURM_CLUSTERS": "c1,c2"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert f"asked {asked}" in done.stderr


def test_without_slurm_it_says_so(environment, programs):
    install(programs, "scontrol", "#!/bin/sh\necho 'slurm_load_jobs error: Invalid job id specified' >&2\nexit 1\n")
    done = subprocess.run(
        [EPILOGUES / "report.sh", "lammps_jobs.slurm_job", "99"], env=environment, capture_output=True, text=True,
        check=True, timeout=60,
    )  # fmt: skip
    assert "scontrol does not know job 99: slurm_load_jobs error: Invalid job id" in done.stderr


@pytest.mark.parametrize("script", ["afterany.sh", "flux_afterany.sh"])
def test_a_script_that_needs_a_job_says_how_it_is_used(environment, script):
    done = subprocess.run(
        [EPILOGUES / script], env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 2
    assert done.stderr.startswith("usage: ")


# Flux is in no package here: this is a recorded `flux`. It answers as flux-core 0.6x does, and runs what is submitted.
FLUX = """\
#!/bin/sh
echo flux "$@" >> RECORD
case "$1 $2 $4" in
"job id 99"*) echo f9 ;;
"job id "*) echo f2Qd7tmK ;;
"job info jobspec") case $3 in 98) echo '{"attributes": {"system": {"cwd": "/"}}}' ;; *) cat JOBSPEC ;; esac ;;
"job info eventlog")
    echo '{"timestamp":1795244000.5,"name":"submit","context":{"userid":1000}}'
    echo '{"timestamp":1795244001.5,"name":"start"}'
    echo '{"timestamp":1795244009.5,"name":"finish","context":{"status":0}}' ;;
"jobs -a"*) cat JOBS 2>/dev/null ;;
submit*) shift; while [ "${1#-}" != "$1" ]; do case $1 in -?) shift ;; esac; shift; done; echo f9; exec "$@" ;;
esac
"""


@pytest.fixture
def flux(programs: Path, tmp_path: Path, environment: dict[str, str]) -> Path:
    """Installs the recorded flux, with a job that ran here; the record of its calls."""
    jobspec = {"attributes": {"system": {"cwd": str(tmp_path), "environment": {
        "TAILRACE_STREAM": "lammps-runtime", "TAILRACE_FEATURES": "x y", "TAILRACE_URL": "http://127.0.0.1:9",
    }}}}  # fmt: skip
    (tmp_path / "jobspec").write_text(json.dumps(jobspec))
    text = FLUX.replace("RECORD", str(tmp_path / "record")).replace("JOBSPEC", str(tmp_path / "jobspec"))
    text = text.replace("JOBS ", f"{tmp_path / 'jobs'} ")
    install(programs, "flux", text)
    written(tmp_path / "log.lammps", 1795244005)
    return tmp_path / "record"


@pytest.mark.parametrize("system", ["null", '{"cwd": 5}', "[]", '{"environment": ["TAILRACE_STREAM=s"]}'])
def test_what_flux_says_in_another_shape_is_one_line(peer, environment, flux, programs, system):
    said = f'#!/bin/sh\ncase "$*" in *jobspec) echo \'{{"attributes": {{"system": {system}}}}}\' ;; *) echo ;; esac\n'
    install(programs, "flux", said)
    command = [sys.executable, "-m", "lammps_jobs.flux_job", "--asked", "f1"]
    done = subprocess.run(
        command, env=environment | {"PYTHONPATH": f"{ROOT}:{ROOT / 'client'}"}, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr.count("\n"), peer.requests) == (0, 1, [])
    assert done.stderr.startswith("tailrace: nothing posted: flux does not know job f1: ")


def test_a_flux_job_is_reported_by_another_that_comes_after_it(peer, environment, flux):
    done = subprocess.run(
        [EPILOGUES / "flux_afterany.sh", "ƒ2Qd7tmK", "--queue=debug"], env=environment, capture_output=True, text=True,
        check=True, timeout=60,
    )  # fmt: skip
    assert done.stdout == "f9\ntailrace: observation 1 of lammps-runtime: 0.0158455\n"
    assert peer.requests[0][2]["key"].startswith("flux:")
    assert "f2Qd7tmK" in peer.requests[0][2]["key"]
    submitted = flux.read_text().splitlines()[0]
    assert submitted.startswith(
        "flux submit --dependency=afterany:ƒ2Qd7tmK --job-name=tailrace -n 1 -c 1 --time-limit=5m "
        "--output=tailrace-{{id}}.out --queue=debug "
    )


@pytest.mark.parametrize(
    ("jobs", "changed", "is_posted"),
    [
        ("99|1795244010.5|next", 1795244012, False),
        ("12|0.0|waits\n98||waits\n99|1795244010.5|", 1795244012, False),
        ("99|1795244010.5|tailrace", 1795244012, True),
        ("99|1795244013.5|later", 1795244012, True),
        ("99|1795244010.5|next", 1795244008, True),
        ("1|1795244010.5|itself", 1795244012, True),
        ("98|1795244010.5|elsewhere", 1795244012, True),
        ("what flux says in another shape", 1795244012, True),
        ("", 1795244012, True),
    ],
)
def test_a_log_that_the_next_flux_job_in_the_directory_may_have_written_is_not_this_ones(
    peer, environment, flux, tmp_path, jobs, changed, is_posted
):
    (tmp_path / "jobs").write_text(f"{jobs}\n")
    written(tmp_path / "log.lammps", changed)
    report = [EPILOGUES / "report.sh", "lammps_jobs.flux_job", "f2Qd7tmK", "x"]
    said = subprocess.run(report, env=environment, check=True, timeout=60, capture_output=True, text=True).stderr
    assert len(peer.requests) == is_posted
    assert is_posted or "may be that of job f9, which began in the same directory when job f2Qd7tmK had ended" in said
    assert changed < 1795244009 or "--user=1000" in flux.read_text()


def test_a_flux_sites_hook_acts_for_who_asked_with_the_sites_own_settings(peer, environment, flux, tmp_path):
    python, gate = blocked(tmp_path)
    said = tmp_path / "epilog.log"
    hook = environment | {"FLUX_JOB_ID": "1234", "TAILRACE_EPILOG_LOG": str(said), "TAILRACE_PYTHON": str(python)}
    del hook["TAILRACE_STREAM"]
    subprocess.run([EPILOGUES / "flux_epilog.sh"], env=hook, check=True, timeout=60)
    assert peer.requests == []
    threading.Thread(target=gate.write_text, args=("go\n",), daemon=True).start()
    until_said(said, "observation 1 of lammps-runtime")
    assert peer.requests[0][2]["x"] == {"processes": 2, "x": 2, "y": 2}
    subprocess.run([EPILOGUES / "flux_epilog.sh"], env={"PATH": hook["PATH"]}, check=True, timeout=60)
