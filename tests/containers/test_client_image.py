"""The client's image: LAMMPS with its MPI, the job scripts and the client, and nothing to build with."""

import pytest

from tests.containers.podman import CLIENT, SERVER, Container, inspected, podman, said_by, volume

pytestmark = pytest.mark.one_database

JOB = """
mpiexec -n 2 lmp -in /opt/tailrace/lammps_jobs/inputs/melt.in -log log.lammps -screen none \\
    -v x 1 -v y 1 -v z 2 -v steps 10 -v seed 1 -v potential "$LAMMPS_POTENTIALS/CuZr_mm.eam.fs"
python3 -m lammps_jobs.epilogue --stream runs --deadline 60 x y z
"""


def test_it_is_small_and_says_what_it_is():
    found = inspected(CLIENT)
    assert found["Size"] <= 900e6
    assert found["Labels"]["org.opencontainers.image.title"] == "Tailrace client"
    assert (
        found["Labels"]["org.opencontainers.image.version"]
        == inspected(SERVER)["Labels"]["org.opencontainers.image.version"]
    )


def test_it_runs_as_nobody_special_and_its_first_process_reaps():
    assert inspected(CLIENT)["Config"]["User"] == "1000:1000"
    assert said_by(CLIENT, "sh", "-c", "id --user; cat /proc/1/comm").split() == ["1000", "tini"]


def test_it_holds_nothing_to_build_with_no_cache_and_no_server():
    tools = "gcc cc g++ c++ cpp gfortran ld as make cmake mpicc git curl wget"
    assert said_by(CLIENT, "sh", "-c", f"for name in {tools}; do command -v $name || true; done") == ""
    places = "/root/.cache /tmp /var/tmp /var/cache /var/lib/apt/lists /home/tailrace/.cache /opt/tailrace/server"
    assert (
        said_by(CLIENT, "sh", "-c", f"find {places} -type f -size +0 2>/dev/null || true", options=["--user", "0"])
        == ""
    )


def test_a_job_in_it_runs_lammps_on_two_processes_and_reports_it():
    with volume() as data, Container(data, workers=1, threads=4) as server:
        stream = {"name": "runs", "target": {"name": "loop_time", "unit": "s"}}
        assert server.request("POST", "/api/v1/streams/", stream)[0] == 201
        done = podman(
            "run", "--rm", "--network", "host", "--read-only", "--cap-drop", "all", "--tmpfs", "/work:mode=1777", "--workdir", "/work",
            "--env", f"TAILRACE_URL={server.url}", CLIENT, "sh", "-euc", JOB,
        )  # fmt: skip
        assert "observation 1 of runs" in done.stdout + done.stderr
        (point,) = server.request("GET", "/api/v1/streams/runs/observations/")[1]["observations"]
        assert (point["x"]["z"], point["x"]["processes"]) == (2, 2)
