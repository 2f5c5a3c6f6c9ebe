"""The exact commands of a sweep, as `--dry-run` prints them."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from lammps_jobs.runs.lammps_job import program
from lammps_jobs.sweep.inputs import adapted
from tests.serving import ROOT

pytestmark = pytest.mark.one_database

HNS = """\
variable x index 2
box               tilt large
read_data         data.hns-equil
replicate         $x $y $z bbox
pair_style        reax/c NULL
compute           reax all pair reax/c
fix               2 all qeq/reax 1 0.0 10.0 1e-6 reax/c
run               100
"""


@pytest.fixture
def examples(tmp_path: Path) -> Path:
    """LAMMPS's examples, as far as a dry run looks at them."""
    directory = tmp_path / "examples" / "reaxff" / "HNS"
    directory.mkdir(parents=True)
    (directory / "in.reaxc.hns").write_text(HNS)
    for name in ("data.hns-equil", "ffield.reax.hns"):
        (directory / name).write_text("…")
    return tmp_path / "examples"


@pytest.fixture
def sweep(tmp_path: Path, examples: Path):
    """Runs `sweep … --dry-run` in an empty directory, which it must leave empty."""
    here = tmp_path / "here"
    here.mkdir()

    def run(*options: str, code: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "lammps_jobs", "sweep", *options, "--dry-run"],
            cwd=here, env=os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'client'}", "LAMMPS_EXAMPLES": str(examples)},
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stderr
        assert list(here.iterdir()) == []
        said = (done.stdout if code == 0 else done.stderr).replace(str(here), "HERE")
        return re.sub(r"\btr-[0-9a-f]{8}-", "tr-SWEEP-", re.sub(r"-N tr[0-9a-f]{12}\b", "-N trHASH", said))

    return run


def test_it_prints_the_predecessors_command(sweep):
    said = sweep(
        "train", "--input", "hns", "--launcher", "flux", "--nodes", "6", "--processes", "48",
        "--container", "singularity", "--image", "lammps.sif", "--x", "20", "--y", "4", "--z", "7", "--iters", "1",
    )  # fmt: skip
    assert said == (
        "flux run -N 6 --ntasks 48 -c 1 -o cpu-affinity=per-task singularity exec --pwd HERE/sweep-train/jobs/train-001 "
        "--bind HERE/sweep-train lammps.sif lmp -v x 20 -v y 4 -v z 7 -v t 100 -log log.lammps -in in.hns -screen none\n"
    )


LMP = (
    "lmp -v x 3 -v y 4 -v z 5 -v steps 9 -v seed 2 -v potential CuZr_mm.eam.fs -log log.lammps -in melt.in -screen none"
)
JOB = "HERE/sweep-train/jobs/train-001"
ONCE = "--comment fence-1 --dependency singleton --no-requeue"


@pytest.mark.parametrize(
    ("options", "submit", "start"),
    [
        ("", None, "mpiexec -n 6 "),
        (
            "--launcher slurm --time 90s --option=--partition=debug",
            "sbatch --parsable --job-name tr-SWEEP-train-001 --nodes 2 --ntasks 6 --cpus-per-task 1 --time 00:01:30 "
            f"--chdir {JOB} --output {JOB}/job.out --partition=debug {ONCE} {JOB}/job.sh",
            "srun --ntasks 6 ",
        ),
        (
            "--launcher slurm --time 1-00:00:00",
            "sbatch --parsable --job-name tr-SWEEP-train-001 --nodes 2 --ntasks 6 --cpus-per-task 1 --time 24:00:00 "
            f"--chdir {JOB} --output {JOB}/job.out {ONCE} {JOB}/job.sh",
            "srun --ntasks 6 ",
        ),
        (
            "--launcher pbs --time 1:00:00",
            "qsub -N trHASH -l select=2:ncpus=3:mpiprocs=3 -l walltime=01:00:00 -V -j oe "
            f"-o {JOB}/job.out -r n {JOB}/job.sh",
            "mpiexec -n 6 ",
        ),
        (
            "--launcher lsf --time 00:10:30",
            f"bsub -J tr-SWEEP-train-001 -n 6 -R 'span[ptile=3]' -W 11 -cwd {JOB} -o {JOB}/job.out -Jd fence-1 -rn /bin/sh {JOB}/job.sh",
            "mpiexec -n 6 ",
        ),
        (
            "--launcher flux --time 5m",
            None,
            "flux run -N 2 --ntasks 6 -c 1 -o cpu-affinity=per-task --time-limit 300s ",
        ),
        ("--launcher slurm --mpi 'srun --mpi=pmi2 -N {nodes} -n {processes}'", ..., "srun --mpi=pmi2 -N 2 -n 6 "),
    ],
)  # fmt: skip
def test_each_launcher_has_its_commands(sweep, options, submit, start):
    said = sweep(
        "train", "--x", "3", "--y", "4", "--z", "5", "--steps", "9", "--processes", "6", "--nodes", "2", "--iters", "1",
        *shlex.split(options),
    ).splitlines()  # fmt: skip
    if submit is not ...:
        assert said[:-1] == ([] if submit is None else [submit])
    # A LAMMPS that came with an MPI is started by that.
    beside = program("lmp").parent
    assert said[-1].strip().replace(f"{beside}/", "") == start + LMP


@pytest.mark.parametrize(
    ("options", "command"),
    [
        ("--container apptainer --image a.sif", f"apptainer exec --pwd {JOB} --bind HERE/sweep-train a.sif mpiexec -n 6 "),
        ("--container charliecloud --image a", "ch-run --bind HERE/sweep-train:/mnt --cd /mnt/jobs/train-001 a -- mpiexec -n 6 "),
        (
            "--container apptainer --image a.sif --launcher slurm",
            f"srun --ntasks 6 apptainer exec --pwd {JOB} --bind HERE/sweep-train a.sif ",
        ),
    ],
)  # fmt: skip
def test_the_mpi_that_starts_a_container_is_the_launchers_and_otherwise_its_own(sweep, options, command):
    said = sweep(
        "train",
        "--x",
        "3",
        "--y",
        "4",
        "--z",
        "5",
        "--steps",
        "9",
        "--processes",
        "6",
        "--iters",
        "1",
        *options.split(),
    )
    assert said.splitlines()[-1].strip() == command + LMP


def test_podman_runs_it_as_whoever_calls_it(sweep):
    said = sweep("train", "--container", "podman", "--image", "tailrace-client", "--iters", "1")
    user = "--user 0:0" if os.getuid() == 0 else "--userns keep-id"
    assert said.startswith(f"podman run --rm {user} --network none --env OMP_NUM_THREADS --volume HERE/sweep-train:")


def test_one_command_for_each_job(sweep):
    assert len(sweep("train", "--sample", "grid", "--x", "1:3", "--y", "1:2", "--z", "1").splitlines()) == 6
    assert len(sweep("predict", "--sample", "lhs", "--iters", "4").splitlines()) == 4


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["train", "--x", "0"], "'0' is not a range: expected"),
        (["train", "--time", "soon"], "'soon' is not a duration"), (["train", "--time", "30"], "did you mean 30s or 30m?"),
        (["train", "--container", "podman"], "--container and --image go together"),
        (["train", "--mpi", "srun -n {cores}"], "--mpi 'srun -n {cores}' can't be read"),
        (["train", "--sample", "grid", "--iters", "999"], "more than the 125 combinations"),
        (["train", "--input", "mellt"], "'mellt' is not an input: expected melt, hns, or the path"),
        (["train", "--lmp", "no-such-lammps"], "no-such-lammps is not a program"),
        (["train", "--url", "cluster:8080"], "'cluster:8080' is not a server's address"),
    ],
)  # fmt: skip
def test_a_wrong_command_line_says_what_is_wrong(sweep, options, words):
    assert words in sweep(*options, code=2)


def test_without_lammps_examples_it_says_how_to_get_them(sweep, examples):
    (examples / "reaxff" / "HNS" / "ffield.reax.hns").unlink()
    assert "apt-get install lammps-examples" in sweep("train", "--input", "hns", code=2)


def test_the_hns_input_is_adapted_to_the_lammps_of_today():
    lines = adapted(HNS).splitlines()
    assert lines[-4:] == [
        "pair_style        reaxff NULL",
        "compute           reax all pair reaxff",
        "fix               2 all qeq/reaxff 1 0.0 10.0 1e-6 reaxff",
        "run ${t}",
    ]
    assert not any(line.startswith("box") for line in lines)
    assert adapted(adapted(HNS)) == adapted(HNS)
