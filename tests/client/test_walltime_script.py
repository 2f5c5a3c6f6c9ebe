"""The submit script of the docs on a real Slurm: it predicts, submits, runs, posts, and so sharpens its next request."""

import subprocess
import sys
from pathlib import Path

import pytest
from tailrace.durations import parse_duration
from tailrace.handles.client import Client

from lammps_jobs.runs.lammps_job import potentials, program
from tests import slurm
from tests.serving import PATIENCE, ROOT

pytestmark = [
    pytest.mark.one_database,
    pytest.mark.xdist_group("slurm"),
    slurm.needs(*slurm.PROGRAMS),
]

SCRIPT = ROOT / "lammps_jobs" / "examples" / "submit-with-walltime.sh"
RUNS = ((1, 1, 1), (2, 1, 1), (2, 2, 1), (1, 2, 1))


def settings(url: str, directory: Path) -> dict[str, str]:
    return {
        "TAILRACE_URL": url,
        "TAILRACE_SPOOL": str(directory / "spool"),
        "TAILRACE_CONF": str(directory / "none.conf"),
        "TAILRACE_PYTHON": sys.executable,
        "LMP": str(program("lmp")),
        "MPIEXEC": str(program("mpiexec")),
        "LAMMPS_POTENTIALS": str(potentials()),
        "STEPS": "20",
    }


def test_each_run_of_the_submit_script_sharpens_the_next_request(served, tmp_path):
    client = Client(served.url, "")
    client.create_stream("melts", "loop_time", "s")
    client.create("melt", "melts", "runtime")
    with slurm.running(tmp_path / "cluster") as cluster:
        environment = cluster.environment | settings(served.url, tmp_path)
        environment |= {"TAILRACE_STREAM": "melts", "TAILRACE_MODEL": "melt"}
        limits = []
        for x, y, z in RUNS:
            command = [str(SCRIPT), str(x), str(y), str(z), "1", f"--chdir={tmp_path}", "--output=%j.out"]
            done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE)
            assert done.returncode == 0, done.stderr
            job = done.stdout.strip()
            assert cluster.wait(job) == "COMPLETED", (tmp_path / f"{job}.out").read_text()
            limits.append(parse_duration(cluster.facts(job)["TimeLimit"]))
            assert ("the default" in done.stderr) is (len(limits) == 1), done.stderr
    log = list(client.stream("melts").observations())
    assert [(one["x"]["x"], one["x"]["y"], one["x"]["z"], one["x"]["processes"]) for one in log] == [
        (*run, 1) for run in RUNS
    ]
    assert limits[0] == 3600
    # What such a run takes, a fraction of a second, and the script's margin and floor.
    assert limits[1:] == [120] * 3
