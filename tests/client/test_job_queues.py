"""Queues of jobs that run once: found by name and fence, watched by one call, cancelled."""

import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from tailrace.launchers.job_queues import Job
from tailrace.launchers.local_queue import start_time
from tailrace.launchers.queue_kinds import make_queue
from tailrace.launchers.queues import QueueFailed
from tailrace.launchers.schedulers import Resources, make_launcher

from tests.slurm import until

pytestmark = pytest.mark.one_database

ONE = Resources(1, 1)


def script(folder: Path, text: str) -> Path:
    path = folder / "job.sh"
    path.write_text(f"#!/bin/sh\n{text}\n")
    return path


def local():
    return make_queue(make_launcher("local"), {"PATH": os.environ["PATH"]})


def test_a_local_job_is_found_by_another_process_and_known_by_its_start(tmp_path):
    job = Job(f"tr-{tmp_path.name}", "fence-1")
    code = (
        "import sys; from pathlib import Path; from tailrace.launchers.job_queues import Job\n"
        "from tailrace.launchers.queue_kinds import make_queue\n"
        "from tailrace.launchers.schedulers import *\n"
        "queue = make_queue(make_launcher('local'), {'PATH': '/bin:/usr/bin'})\n"
        f"print(queue.submit(Job({job.name!r}, 'fence-1'), Path({str(script(tmp_path, 'sleep 60'))!r}), "
        f"Path({str(tmp_path / 'out')!r}), Resources(1, 1)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    number = done.stdout.strip()
    queue = local()
    try:
        (found,) = queue.find(job)
        assert (found.number, found.alive) == (number, True)
        assert queue.find(Job(job.name, "fence-2")) == []
        queue.cancel([f"{number.partition('.')[0]}.{'0-another'}"])  # the same number, started at another time
        assert queue.find(job)
    finally:
        queue.cancel([number])
    until(lambda: queue.find(job) == [], lambda: "the job goes on")


def test_a_local_job_whose_script_was_killed_goes_on_while_its_program_runs(tmp_path):
    queue, job = local(), Job(f"tr-{tmp_path.name}", "fence-1")
    number = queue.submit(job, script(tmp_path, "sleep 60 & wait"), tmp_path / "out", ONE)
    pid = int(number.partition(".")[0])
    until(lambda: len(os.listdir(f"/proc/{pid}/task")) == 1 and bool(_children(pid)), lambda: "it has no child")
    os.kill(pid, signal.SIGKILL)
    until(lambda: not start_time(pid), lambda: "it lives")
    (found,) = queue.find(job)
    assert found.reason == "its script has ended"
    queue.cancel([found.number])
    until(lambda: queue.find(job) == [], lambda: "the job goes on")


def _children(pid):
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def test_a_local_job_over_its_time_limit_is_ended(tmp_path):
    queue, job = local(), Job(f"tr-{tmp_path.name}", "fence-1", limit=0)
    queue.submit(job, script(tmp_path, "sleep 60"), tmp_path / "out", ONE)
    until(lambda: queue.find(job) == [], lambda: "the job goes on")


def recorded(folder, monkeypatch, **programs):
    """Executables that write down how they are called, and print what is given."""
    folder.mkdir()
    for name, (code, out, err) in programs.items():
        path = folder / name
        path.write_text(
            f"#!{sys.executable}\nimport sys, json\nopen({str(folder / 'calls')!r}, 'a').write(json.dumps([{name!r}, *sys.argv[1:]]) + '\\n')\n"
            f"sys.stdout.write({out!r}); sys.stderr.write({err!r}); sys.exit({code})\n"
        )
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return lambda: [json.loads(line) for line in (folder / "calls").read_text().splitlines()]


def test_slurm_is_asked_once_for_all_jobs(tmp_path, monkeypatch):
    listed = "7|RUNNING|None|a|fence-1\n8|PENDING|Priority|b|fence-2\n9|TIMEOUT|TimeLimit|c|fence-1\n5|RUNNING|None|a|fence-9\n"
    calls = recorded(tmp_path / "bin", monkeypatch, squeue=(0, listed, ""), sbatch=(0, "12\n", ""))
    queue = make_queue(make_launcher("slurm", ["--comment=site"]), os.environ)
    found = queue.watch([Job(name, fence) for name, fence in (("a", "fence-1"), ("b", "fence-2"), ("c", "fence-1"))])
    told = {key: [(one.number, one.state, one.reason) for one in some] for key, some in found.items()}
    assert told == {
        ("a", "fence-1"): [("7", "running", "")],
        ("b", "fence-2"): [("8", "waiting", "Priority")],
        ("c", "fence-1"): [("9", "ended", "TIMEOUT")],
    }
    assert len(calls()) == 1
    assert queue.submit(Job("a", "fence-1"), script(tmp_path, ""), tmp_path / "out", ONE) == "12"
    words = calls()[-1]
    assert words.index("--comment=site") < words.index("--comment")  # the last one counts
    assert words[words.index("--comment") + 1] == "fence-1"
    assert {"--no-requeue", "singleton"} <= set(words)


@pytest.mark.parametrize(
    ("launcher", "program"), [("slurm", "squeue"), ("flux", "flux"), ("pbs", "qstat"), ("lsf", "bjobs")]
)
def test_an_error_of_the_queue_is_not_an_answer(launcher, program, tmp_path, monkeypatch):
    recorded(tmp_path / "bin", monkeypatch, **{program: (1, "", "Unable to contact the controller")})
    with pytest.raises(QueueFailed, match="Unable to contact"):
        make_queue(make_launcher(launcher), os.environ).watch([Job("a", "fence-1", "7")])


def test_flux_keeps_the_fence_in_the_name(tmp_path, monkeypatch):
    calls = recorded(tmp_path / "bin", monkeypatch, flux=(0, "f7|RUN|a.fence-1\nf8|SCHED|b.fence-1\n", ""))
    queue = make_queue(make_launcher("flux"), os.environ)
    found = queue.watch([Job("a", "fence-1"), Job("b", "fence-1"), Job("c", "fence-1")])
    assert {key: some[0].state for key, some in found.items()} == {
        ("a", "fence-1"): "running",
        ("b", "fence-1"): "waiting",
    }
    queue.submit(Job("a", "fence-1"), script(tmp_path, ""), tmp_path / "out", Resources(2, 8, 60))
    assert calls()[-1][1:4] == ["batch", "--job-name", "a.fence-1"]


def test_pbs_forgets_a_job_without_an_error(tmp_path, monkeypatch):
    from tailrace.launchers.pbs_queue import short_name

    job = Job("a", "fence-1", "7.head")
    listed = json.dumps({"Jobs": {"7.head": {"Job_Name": short_name(job), "job_state": "R"}}})
    err = "qstat: Unknown Job Id 8.head\n"
    recorded(tmp_path / "bin", monkeypatch, qstat=(153, listed, err), qselect=(0, "", ""))
    queue = make_queue(make_launcher("pbs"), os.environ)
    found = queue.watch([job, Job("b", "fence-1", "8.head"), Job("c", "fence-1")])
    assert {key: some[0].state for key, some in found.items()} == {("a", "fence-1"): "running"}


def test_lsf_keeps_the_fence_in_the_description(tmp_path, monkeypatch):
    recorded(tmp_path / "bin", monkeypatch, bjobs=(0, "7|RUN|a|fence-1\n8|EXIT|b|fence-1\n", ""))
    found = make_queue(make_launcher("lsf"), os.environ).watch([Job("a", "fence-1"), Job("b", "fence-1")])
    assert {key: some[0].state for key, some in found.items()} == {
        ("a", "fence-1"): "running",
        ("b", "fence-1"): "ended",
    }
