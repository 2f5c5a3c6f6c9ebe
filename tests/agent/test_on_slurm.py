"""An agent on a real Slurm: whatever becomes of slurmctld and of the jobs, each step runs once."""

import contextlib
import os
import signal
import socket
import subprocess

import pytest

from tests import slurm
from tests.agent.contract_server import ContractServer
from tests.agent.sites import settled, site
from tests.slurm import Slurm, until

pytestmark = [pytest.mark.one_database, pytest.mark.xdist_group("slurm"), slurm.needs(*slurm.PROGRAMS)]


HOST = socket.gethostname().partition(".")[0]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """One with memory limits, and with a partition whose jobs end those of the other one."""
    urgent = {f"PartitionName=urgent Nodes={HOST} PriorityTier": "10 State=UP"}
    preempts = {"PreemptType": "preempt/partition_prio", "PreemptMode": "CANCEL"}
    limits = {
        "JobAcctGatherType": "jobacct_gather/linux", "JobAcctGatherParams": "OverMemoryKill",
        "JobAcctGatherFrequency": "task=1", "SelectTypeParameters": "CR_Core_Memory", "DefMemPerCPU": 100,
    }  # fmt: skip
    place = tmp_path_factory.mktemp("s") / "slurm"
    with slurm.running(place, cpus=8, memory=2000, **limits, **preempts, **urgent) as made:
        yield made


@pytest.fixture
def server():
    made = ContractServer()
    yield made
    made.close()


@pytest.fixture
def made(cluster, server, tmp_path):
    environ = {"SLURM_CONF": str(cluster.conf), "PATH": slurm.SEARCH}
    with site(tmp_path, server.url, launcher="slurm", environ=environ, limits={"absent_seconds": 3}) as made:
        yield made


@contextlib.contextmanager
def stopped(cluster: Slurm):
    """slurmctld takes connections, and answers none."""
    (process,) = [one for one in cluster._processes if "slurmctld" in str(one.args[0])]
    os.kill(process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process.pid, signal.SIGCONT)


def job_of(cluster, step):
    """The number of a step's job."""
    found = []

    def listed():
        lines = cluster.call("squeue", "--noheader", "--states=all", "--format=%A %j").splitlines()
        found[:] = [line.split()[0] for line in lines if line.endswith(step)]
        return bool(found)

    until(listed, lambda: f"no job of {step}: {cluster.logs()}")
    return found[0]


def test_steps_run_with_name_comment_and_at_most_once(cluster, server, made):
    step, child = server.add(answer=3), None
    child = server.add(parents=[step])
    slow = server.add(seconds=60)
    assert made.command("check").returncode == 0
    made.start()
    settled(server, step, child, made=made)
    until(lambda: server.steps[slow]["state"] == "running", made.log)
    facts = cluster.facts(job_of(cluster, slow))
    assert (facts["JobName"][-13:], facts["Comment"], facts["Requeue"]) == (f"-{slow}", "fence-1", "0")
    # The site can't make it run twice.
    with pytest.raises(subprocess.CalledProcessError):
        cluster.call("scontrol", "requeue", job_of(cluster, slow))
    again = cluster.submit("--wait", "--output=/dev/null", str(made.folder_of(step) / "job.sh"))
    assert cluster.state(again) == "COMPLETED"
    cluster.call("scancel", job_of(cluster, slow))
    (one,) = settled(server, slow, made=made)
    assert one["state"] == "cancelled"
    assert [len(made.attempts(name)) for name in (step, child, slow)] == [1, 1, 1]


def test_a_job_is_cancelled_before_it_began(cluster, server, made):
    filler = cluster.submit("--exclusive", "--wrap=sleep 600", "--output=/dev/null")
    cluster.wait(filler, "RUNNING")
    try:
        step = server.add()
        made.start()
        until(lambda: server.steps[step]["state"] == "queued", made.log)
        cluster.call("scancel", job_of(cluster, step))
        (one,) = settled(server, step, made=made)
    finally:
        cluster.call("scancel", filler)
    assert one["state"] == "cancelled"
    assert one["results"][0]["exit_code"] is None


def test_sbatch_fails_after_its_job_was_accepted_and_the_agent_is_killed(cluster, server, made):
    server.state = "maintenance"
    made.start()
    until(lambda: server.epoch == 1, made.log)
    with stopped(cluster):
        step = server.add()
        server.state = "enabled"
        until(lambda: "was submitted, with an error" in made.log(), made.log)
        made.kill()
        made.start()
        until(lambda: "the queue gives no answer" in made.log(), made.log)
        assert server.steps[step]["state"] == "permitted"
    settled(server, step, made=made)
    assert server.steps[step]["state"] == "done"
    assert len(made.attempts(step)) == 1


@pytest.mark.slow
def test_a_job_over_its_time_limit_fails(cluster, server, made):
    step = server.add(seconds=600, limit=60)
    made.start()
    (one,) = settled(server, step, made=made)
    assert one["state"] == "failed"
    assert "TIMEOUT" in one["results"][0]["reason"]


def test_a_node_that_fails_is_a_failure_and_a_person_may_run_the_step_again(cluster, server, made):
    step = server.add(seconds=60)
    made.start()
    until(lambda: server.steps[step]["state"] == "running", made.log)
    cluster.call("scontrol", "update", f"nodename={HOST}", "state=down", "reason=a test")
    try:
        (one,) = settled(server, step, made=made)
    finally:
        with contextlib.suppress(subprocess.CalledProcessError):  # it may have come back by itself
            cluster.call("scontrol", "update", f"nodename={HOST}", "state=resume")
        until(lambda: "idle" in cluster.call("sinfo", "--noheader", "--format=%T"), cluster.logs)
    assert (one["state"], one["results"][0]["values"]) == ("failed", {})
    assert "NODE_FAIL" in one["results"][0]["reason"]
    one["parameters"]["seconds"] = 0
    server.move(one, "ready")
    settled(server, step, made=made)
    assert one["state"] == "done"
    assert [path.parent.name for path in made.attempts(step)] == ["1", "2"]


def test_a_job_that_needs_too_much_memory_fails_and_says_so(cluster, server, made):
    step = server.add(eats=300)
    made.start()
    (one,) = settled(server, step, made=made)
    assert one["state"] == "failed"
    assert "exceeded its memory" in one["results"][0]["reason"]


def test_a_job_that_gives_way_to_an_urgent_one_has_failed_and_runs_once(cluster, server, made):
    step = server.add(seconds=600)
    made.start()
    until(lambda: server.steps[step]["state"] == "running", made.log)
    urgent = cluster.submit("--partition=urgent", "--exclusive", "--output=/dev/null", "--wrap=sleep 1")
    (one,) = settled(server, step, made=made)
    cluster.wait(urgent)
    assert one["state"] == "failed"
    assert "PREEMPTED" in one["results"][0]["reason"]
    assert len(made.attempts(step)) == 1


def test_names_with_blanks_and_shell_characters_stay_names(cluster, server, tmp_path):
    environ = {"SLURM_CONF": str(cluster.conf), "PATH": slurm.SEARCH}
    folder = tmp_path / "it's a $(touch pwned) & 100%j; `id` \\ place"
    with site(folder, server.url, launcher="slurm", environ=environ, limits={"absent_seconds": 3}) as made:
        step = server.add(answer=5)
        server.steps[step]["name"] = "a 'b' $(touch pwned) \n; rm *"
        child = server.add(parents=[step])
        made.start()
        settled(server, step, child, made=made)
        assert (made.folder_of(child) / "from_parent.txt").read_text() == "5.0\n"
        assert (made.folder_of(step) / "scheduler.txt").exists()
        assert [len(made.attempts(one)) for one in (step, child)] == [1, 1]
    assert not list(tmp_path.rglob("pwned"))
