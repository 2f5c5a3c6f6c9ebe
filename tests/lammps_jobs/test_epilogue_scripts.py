"""The scripts that users and sites install, as far as they need no Slurm (test_slurm.py has the rest)."""

import json
import os
import shutil
import subprocess
import sys
import threading
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
   UserId=root(0) JobState=COMPLETED Restarts=1
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


def install(programs: Path, name: str, text: str) -> None:
    (programs / name).write_text(text)
    (programs / name).chmod(0o755)


def test_the_controllers_hook_does_not_wait_for_its_report(peer, environment, programs, tmp_path):
    """The report can't even begin before the hook has ended."""
    install(programs, "scontrol", SCONTROL.replace("DIRECTORY", str(tmp_path)))
    shutil.copy(FIXTURES / "mpi.log", tmp_path / "log.3")
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
    shutil.copy(FIXTURES / "mpi.log", tmp_path / "log.lammps")
    hook = environment | {"SLURM_JOB_ID": "12", "SLURM_RESTART_COUNT": "1"} | more
    for asked in ({}, {"TAILRACE_STREAM": ""}):
        subprocess.run([EPILOGUES / "task_epilog.sh"], env=hook | asked, check=True, timeout=60)
    assert len(peer.requests) == (0 if more else 1)


def test_a_controller_that_is_away_for_a_moment_costs_no_result(peer, environment, programs, tmp_path):
    install(programs, "scontrol", "#!/bin/sh\necho 'Unable to contact slurm controller' >&2\nexit 1\n")
    shutil.copy(FIXTURES / "mpi.log", tmp_path / "log.lammps")
    job = {"SLURM_CLUSTER_NAME": "c1", "SLURM_JOB_ID": "12"}
    task = environment | job | {"SLURM_RESTART_COUNT": "1"}
    subprocess.run([EPILOGUES / "task_epilog.sh"], env=task, cwd=tmp_path, check=True, timeout=60)
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
    assert not runs_in(text.replace("EndTime=2026", "EndTime=2126"))[0].is_over
    assert not runs_in(text.replace("EndTime=2026-11-20T07:13:29", "EndTime=Unknown"))[0].is_over
    assert runs_in("") == []


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
    shutil.copy(FIXTURES / "mpi.log", tmp_path / "log.lammps")
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
    shutil.copy(FIXTURES / "mpi.log", tmp_path / "log.lammps")
    own = {"SLURM_TIME_FORMAT": "relative", "SLURM_BITSTR_LEN": "0", "SCONTROL_ALL": "1", "SLURM_CLUSTER_NAME": "c"}
    report = [EPILOGUES / "report.sh", "lammps_jobs.slurm_job", "10", "x"]
    subprocess.run(report, env=environment | own, check=True, timeout=60)
    assert peer.keys == ["slurm:c:10:task3:restart1"]


def test_without_slurm_it_says_so(environment, programs):
    install(programs, "scontrol", "#!/bin/sh\necho 'slurm_load_jobs error: Invalid job id specified' >&2\nexit 1\n")
    done = subprocess.run(
        [EPILOGUES / "report.sh", "lammps_jobs.slurm_job", "99"], env=environment, capture_output=True, text=True,
        check=True, timeout=60,
    )  # fmt: skip
    assert "scontrol knows nothing of job 99: slurm_load_jobs error: Invalid job id" in done.stderr


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
"job id "*) echo f2Qd7tmK ;;
"job info jobspec") cat JOBSPEC ;;
"job info eventlog")
    echo '{"timestamp":1795244000.5,"name":"submit","context":{"userid":1000}}'
    echo '{"timestamp":1795244001.5,"name":"start"}'
    echo '{"timestamp":1795244009.5,"name":"finish","context":{"status":0}}' ;;
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
    install(programs, "flux", text)
    shutil.copy(FIXTURES / "mpi.log", tmp_path / "log.lammps")
    return tmp_path / "record"


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
