"""Wherever the pieces of a large cell are worked at, what is written is the same."""

import os
import re
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from distributed import LocalCluster

from lammps_jobs.bonds.errors import Refused
from lammps_jobs.bonds.learning.dask_workers import each, workers
from lammps_jobs.bonds.learning.structure_prediction import predict
from tests import slurm
from tests.lammps_jobs.crystals import Law, crystal
from tests.lammps_jobs.test_bonds_soap import SMALL
from tests.processes import below
from tests.serving import ROOT, free_port

pytestmark = pytest.mark.one_database


@pytest.fixture(scope="module")
def large():
    return crystal((6, 5, 4), 28)


@pytest.fixture(scope="module")
def written(large, tmp_path_factory):
    """What one thread writes of it."""
    path = tmp_path_factory.mktemp("written") / "ICOHPLIST.lobster"
    beside = predict(large, Law(), SMALL, piece=100, count=1).write(path, large.get_chemical_symbols())
    return path.read_bytes(), Path(beside).read_bytes()


def _writes(large, directory, **where):
    path = directory / "ICOHPLIST.lobster"
    beside = predict(large, Law(), SMALL, piece=100, **where).write(path, large.get_chemical_symbols())
    return path.read_bytes(), Path(beside).read_bytes()


def test_threads_and_processes_write_what_one_thread_writes(large, written, tmp_path):
    assert _writes(large, tmp_path, scheduler="threads", count=3) == written
    assert _writes(large, tmp_path, scheduler="processes", count=2) == written


def test_a_scheduler_elsewhere_is_used_and_left_running(large, written, tmp_path):
    with LocalCluster(n_workers=1, threads_per_worker=2, dashboard_address=None, protocol="tcp://") as cluster:
        for _ in range(2):
            assert _writes(large, tmp_path, scheduler=cluster.scheduler_address) == written
        assert cluster.status.name == "running"


@slurm.needs(*slurm.PROGRAMS)
@pytest.mark.xdist_group("slurm")
def test_the_workers_that_the_page_starts_on_slurm_write_what_one_thread_writes(large, written, tmp_path):
    (code,) = re.findall(
        r"```python\n(import sys.*?SLURMCluster.*?)```", (ROOT / "docs" / "how-to" / "bonds.md").read_text(), re.S
    )
    code = code.replace("/path/to/tailrace", str(ROOT)).replace("jobs=16", "jobs=2")
    # The test's node says of itself that it has no memory.
    code = code.replace('memory="2GB"', 'memory="2GB", job_directives_skip=["--mem"], interface="lo"')
    with slurm.running(tmp_path / "slurm") as cluster:
        page = subprocess.Popen(
            [sys.executable, "-c", code], cwd=tmp_path, env=cluster.environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        try:
            address = page.stdout.readline().strip()
            assert address.startswith("tcp://"), page.communicate()
            assert _writes(large, tmp_path, scheduler=address) == written
            assert cluster.call("squeue", "--noheader", "--format=%T").splitlines().count("RUNNING") >= 1
        finally:
            page.communicate(timeout=slurm.PATIENCE)


def test_no_scheduler_at_an_address_is_said():
    with pytest.raises(
        Refused, match=r"no Dask scheduler answers at tcp://127.0.0.1:\d+ .*expected threads, processes"
    ):
        predict(crystal(), Law(), SMALL, scheduler=f"tcp://127.0.0.1:{free_port()}")
    with pytest.raises(Refused, match="no Dask scheduler answers at slurm"):
        predict(crystal(), Law(), SMALL, scheduler="slurm")


def test_only_as_many_pieces_are_made_as_are_worked_at():
    made = []

    def items():
        for number in range(40):
            made.append(number)
            yield number

    done = 0
    with workers("threads", 2) as client:
        for answer in each(client, pow, items(), 2):
            assert answer == made[int(answer**0.5)] ** 2
            assert len(made) - done <= 4
            done += 1
    assert done == 40


def test_workers_that_come_later_get_their_share():
    made, most = [], 0
    with workers("threads", 1) as client:
        for done, _ in enumerate(each(client, abs, (made.append(number) or number for number in range(30)))):
            most = max(most, len(made) - done)
            if done == 5:
                assert most == 2
                client.cluster.scale(3)
                client.wait_for_workers(3)
    assert most == 6 and len(made) == 30


@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_nobody_elsewhere_can_reach_the_workers_of_this_machine(kind):
    with workers(kind, 1) as client:
        mine = [psutil.Process().net_connections(), *below(os.getpid(), psutil.Process.net_connections).values()]
        listening = [
            found.laddr.ip for connections in mine for found in connections if found.status == psutil.CONN_LISTEN
        ]
        assert set(listening) <= {"127.0.0.1"}
        # Without the certificate of this run nobody on this machine can, either.
        assert client.scheduler.address.startswith("inproc://" if kind == "threads" else "tls://127.0.0.1")


def test_workers_that_die_are_reported():
    with workers("processes", 1) as client, pytest.raises(Refused, match="workers died several times"):
        list(each(client, os._exit, [1]))


def test_the_progress_counts_every_atom(large):
    told = []
    predict(large, Law(), SMALL, piece=100, advance=told.append)
    assert sum(told) == len(large) and len(told) > 3
