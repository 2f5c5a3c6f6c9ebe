"""Sweeps over launchers and containers that are in no package here: recorded programs, which run what they are given."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from tailrace.launchers import queues

from lammps_jobs.runs.lammps_job import program
from tests.lammps_jobs.here import PATIENCE, TINY, Here, made
from tests.slurm import until

pytestmark = [pytest.mark.one_database, pytest.mark.xdist_group("sweep")]


# What each batch system's programs do, as far as a sweep needs them: a job is run at once, in the background, and the
# queue holds those that are not done. Each call is recorded.
FLUX = """\
#!/bin/sh
echo flux "$@" >> $RECORD
while [ $# -gt 0 ]; do case $1 in run|--*=*) shift ;; -N|--ntasks|-c|-o|--time-limit) shift 2 ;; *) break ;; esac; done
exec "$@"
"""
SUBMIT = """\
#!/bin/sh
echo "${0##*/}" "$@" >> $RECORD
number=$(ls $QUEUE | grep -vc done)
for script; do
    case $before in -N|-J|--job-name) name=$script ;; -Jd|--comment) fence=$script ;; esac
    before=$script
done
echo "$name|$fence" > $QUEUE/$number
(cd "$(dirname "$script")"; $RUN sh "$script" > job.out 2>&1; touch $QUEUE/$number.done) > /dev/null 2>&1 &
echo "ANSWER"
"""
LIST = """\
#!/bin/sh
echo "${0##*/}" "$@" >> $RECORD
for job in $(ls $QUEUE | grep -v done); do
    known=$(cat $QUEUE/$job)
    [ -e $QUEUE/$job.done ] || echo "ANSWER"
done
"""
SQUEUE, BJOBS = "$job|PENDING|REASON|$known", "$job|RUN|$known"
QSTAT = (
    LIST.replace("for job", "echo '{\"Jobs\": {'\ncomma=\nfor job").replace(
        'echo "ANSWER"',
        """{ echo "$comma\\"$job.pbs1\\": {\\"Job_Name\\": \\"${known%%|*}\\", \\"job_state\\": \\"R\\"}"; comma=,; }""",
    )
    + "echo '}}'\n"
)


@pytest.fixture
def recorded(here: Here, tmp_path: Path) -> Callable[..., list[str]]:
    """Puts programs on the PATH of the sweeps, and gives what they were called with."""
    programs, queue, record = tmp_path / "bin", tmp_path / "queue", tmp_path / "record"
    programs.mkdir()
    queue.mkdir()
    here.environment |= {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "RECORD": str(record),
        "QUEUE": str(queue),
        "RUN": "",
    }

    def install(**scripts: str) -> Path:
        for name, text in scripts.items():
            (programs / name).write_text(text)
            (programs / name).chmod(0o755)
        return record

    return install


def test_flux_is_asked_in_its_own_words(here, recorded):
    """Flux is in no package here: this is a recorded `flux`, which runs what it is given."""
    made(here)
    record = recorded(flux=FLUX)
    here.sweep("train", *TINY, "--launcher", "flux", "--iters", "2", "--time", "60s", "--option=--queue=debug")
    words = [line.split() for line in record.read_text().splitlines()]
    assert [line[:12] for line in words] == [
        ["flux", "run", "-N", "1", "--ntasks", "1", "-c", "1", "-o", "cpu-affinity=per-task", "--time-limit", "60s"]
    ] * 2
    assert all(line[12] == "--queue=debug" for line in words)
    assert sorted(one["y"] for one in here.observations()) == sorted(here.loop_times())


@pytest.mark.parametrize(
    ("launcher", "submit", "listing", "answer", "listed"),
    [
        ("pbs", "qsub", "qstat", "$number.pbs1", QSTAT),
        (
            "lsf",
            "bsub",
            "bjobs",
            "Job <$number> is submitted to default queue <normal>.",
            LIST.replace("ANSWER", BJOBS),
        ),
    ],
)
def test_other_batch_systems_are_asked_in_their_own_words(here, recorded, launcher, submit, listing, answer, listed):
    """PBS and LSF are in no package here: these are recorded programs, which run the scripts."""
    made(here)
    record = recorded(**{submit: SUBMIT.replace("ANSWER", answer), listing: listed})
    said = here.sweep("train", *TINY, "--launcher", launcher, "--iters", "3", "--at-once", "2")
    assert "3 jobs: 3 counted" in said
    assert sorted(one["y"] for one in here.observations()) == sorted(here.loop_times())
    called = [line.split()[0] for line in record.read_text().splitlines()]
    assert called.count(submit) == 3
    assert listing in called


def test_jobs_in_a_queue_are_found_again_and_not_submitted_twice(here, recorded, tmp_path):
    made(here)
    gate = tmp_path / "gate"
    record = recorded(
        qsub=SUBMIT.replace("ANSWER", "$number.pbs1"), qstat=QSTAT,
        held=f'#!/bin/sh\nuntil [ -e {gate} ]; do sleep 0.05; done\nexec "$@"\n',
    )  # fmt: skip
    here.environment["RUN"] = "held"
    options = ("train", *TINY, "--launcher", "pbs", "--iters", "2")
    process = here.start(*options)
    until(lambda: record.exists() and record.read_text().count("qsub") == 2, record.read_text)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=PATIENCE)
    assert "stay there and report their results" in said
    assert process.returncode == 130
    process = here.start(*options)
    until(lambda: record.read_text().count("qstat") >= 3, record.read_text)
    gate.touch()
    said, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, said
    assert record.read_text().count("qsub") == 2
    assert len(here.observations()) == 2


@pytest.mark.parametrize(
    ("reason", "never"),
    [("PartitionConfig", True), ("Priority", False)],
)
def test_a_job_that_will_not_start_is_told_of(here, recorded, tmp_path, reason, never):
    """A recorded Slurm, in whose queue both jobs wait, for that reason, until the gate is opened."""
    made(here)
    gate = tmp_path / "gate"
    record = recorded(
        sbatch=SUBMIT.replace("ANSWER", "$number"), squeue=LIST.replace("ANSWER", SQUEUE.replace("REASON", reason)),
        held=f'#!/bin/sh\nuntil [ -e {gate} ]; do sleep 0.05; done\nexec "$@"\n',
    )  # fmt: skip
    here.environment["RUN"] = "held"
    process = here.start("train", *TINY, "--launcher", "slurm", "--iters", "2")
    until(lambda: record.exists() and record.read_text().count("squeue") >= 3, lambda: "")
    gate.touch()
    said, _ = process.communicate(timeout=PATIENCE)
    told = f"Job 0 and 1 more can't start: Slurm says {reason}."
    assert said.count(told) == never
    assert ("scancel 0 1" in said) is never


FAR = """\
#!/bin/sh
echo squeue "$@" >> $RECORD
case "$*" in *--clusters=near,far*) ;; *) exit 0 ;; esac
echo "CLUSTER: near"
echo "CLUSTER: far"
for job in $(ls $QUEUE | grep -v done); do
    [ -e $QUEUE/$job.done ] || echo "$job|PENDING|PartitionConfig|$(cat $QUEUE/$job)"
done
"""


def test_jobs_of_another_cluster_are_looked_for_there(here, recorded, tmp_path):
    """A recorded Slurm of two clusters, whose squeue lists the jobs of this one unless it is told otherwise."""
    made(here)
    gate = tmp_path / "gate"
    record = recorded(
        sbatch=SUBMIT.replace("ANSWER", "$number;far"), squeue=FAR, srun='#!/bin/sh\nshift 2\nexec "$@"\n',
        held=f'#!/bin/sh\nuntil [ -e {gate} ]; do sleep 0.05; done\nexec "$@"\n',
    )  # fmt: skip
    here.environment["RUN"] = "held"
    options = ("train", *TINY, "--launcher", "slurm", "--iters", "2", "--option=-M", "--option=near,far")
    process = here.start(*options)
    until(lambda: record.exists() and record.read_text().count("squeue") >= 3, lambda: "")
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=PATIENCE)
    assert "scancel --clusters=far 0 1" in said
    process = here.start(*options)
    seen = record.read_text().count("squeue")
    until(lambda: record.read_text().count("squeue") > seen, record.read_text)
    gate.touch()
    said, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, said
    assert "2 jobs: 2 counted" in said
    assert record.read_text().count("sbatch") == 2
    assert len(here.observations()) == 2


@pytest.mark.parametrize(
    ("options", "environ", "clusters"),
    [
        ([], {}, ()),
        (["--account=a"], {"SLURM_CLUSTERS": "near"}, ("near",)),
        (["--qos", "q"], {"SBATCH_CLUSTERS": "far", "SLURM_CLUSTERS": "near"}, ("far",)),
        (["-M", "near,far"], {"SLURM_CLUSTERS": "other"}, ("near", "far")),
        (["-Mfar"], {}, ("far",)),
        (["--clusters=far"], {}, ("far",)),
        (["--clusters", "near"], {}, ("near",)),
        (["--cluster-constraint=big"], {}, ()),
    ],
)
def test_the_clusters_that_sbatch_may_choose_from(options, environ, clusters):
    assert queues.named_clusters(options, environ) == clusters


def test_reasons_that_pass_by_themselves_are_told_from_those_that_do_not():
    never = [
        "PartitionConfig",
        "QOSMaxCpuPerJobLimit",
        "AssocMaxWallDurationPerJobLimit",
        "JobHeldUser",
        "BadConstraints",
    ]
    passing = ["None", "Priority", "Resources", "Dependency", "QOSMaxJobsPerUserLimit", "AssocGrpCpuLimit", "BeginTime"]
    assert [reason for reason in never + passing if queues.lasting_reason(reason)] == never


def test_a_batch_system_that_refuses_a_job_is_quoted(here, recorded):
    made(here)
    recorded(qsub="#!/bin/sh\necho 'qsub: Unknown queue' >&2\nexit 170\n", qselect="#!/bin/sh\n")
    said = here.sweep("train", *TINY, "--launcher", "pbs", "--iters", "1", code=1)
    assert "qsub failed: qsub: Unknown queue" in said


def test_a_container_runtime_is_asked_in_its_own_words(here, recorded):
    """Apptainer is in no package here: this is a recorded `apptainer`, which runs what it is given."""
    made(here)
    script = '#!/bin/sh\necho apptainer "$@" >> $RECORD\nshift 6\nexec "$@"\n'
    record = recorded(apptainer=script, lmp=f'#!/bin/sh\nexec {program("lmp")} "$@"\n')
    (here.path / "lammps.sif").write_text("an image")
    container = ("--container", "apptainer", "--image", "lammps.sif")
    assert "1 jobs: 1 counted" in here.sweep("train", *TINY, *container, "--iters", "1")
    sweep = here.path / "sweep-train"
    words = record.read_text().split()
    assert words[:7] == [
        "apptainer", "exec", "--pwd", f"{sweep}/jobs/train-001", "--bind", str(sweep), str(here.path / "lammps.sif"),
    ]  # fmt: skip
    assert "--image no.sif does not exist" in here.sweep(
        "train", *TINY, "--container", "apptainer", "--image", "no.sif", "--directory", "other", code=2
    )
