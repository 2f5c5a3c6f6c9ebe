"""Quantum ESPRESSO on a real Slurm by the whole way: LiH in a field, whose density goes from step to step."""

import pytest
from tailrace import Client

from tests import slurm
from tests.agent.sites import site
from tests.client.running import command
from tests.lammps_jobs.test_programs_quantum_espresso import GTH, LIH
from tests.people import bearer, made_on
from tests.serving import Server
from tests.slurm import until

pytestmark = [
    pytest.mark.one_database, pytest.mark.xdist_group("slurm"), slurm.needs(*slurm.PROGRAMS), slurm.needs("pw.x"),
]  # fmt: skip

STREAM = "calculations-walltime"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A server, a Slurm, and an agent that may run pw.x on it."""
    folder = tmp_path_factory.mktemp("qe")
    for element, text in GTH.items():
        (folder / f"{element}.gth").write_text(text)
    with slurm.running(folder / "slurm", cpus=4) as cluster:
        server = Server(folder / "var", auth="required").start()
        try:
            secrets = {name: secret for name, (_, secret) in made_on(server, root="admin", ada="researcher").items()}
            stream = {"name": STREAM, "target": {"name": "wall_time", "unit": "s"}}
            assert server.post("/api/v1/streams/", stream, **bearer(secrets["root"]))[0] == 201
            added = command(
                "cluster", "add", "alpha", f"--stream={STREAM}", "--url", server.url,
                environ={"TAILRACE_TOKEN": secrets["root"]},
            )  # fmt: skip
            assert added.returncode == 0, added.stderr
            environ = {"SLURM_CONF": str(cluster.conf), "PATH": slurm.SEARCH, "OMP_NUM_THREADS": "1"}
            # Debian's Open MPI can't be started by srun itself.
            mpi = "mpirun --allow-run-as-root -n {processes}"
            table = f'[programs.quantum-espresso]\nmpi = "{mpi}"\npseudopotentials = "{folder}"'
            limits = {"sync_seconds": 1}
            token = added.stdout.strip()
            with site(
                folder / "site", server.url, token, launcher="slurm", environ=environ, program=table, limits=limits
            ) as made:
                made.start()
                made.client = Client(server.url, secrets["ada"])
                made.points = lambda: server.get(
                    f"/api/v1/streams/{STREAM}/observations/?after=0", **bearer(secrets["ada"])
                )[1]["observations"]
                until(lambda: server.get("/api/v1/programs/", **bearer(secrets["ada"]))[1]["programs"] != [], made.log)
                yield made
        finally:
            server.stop()


def test_a_density_goes_from_step_to_step_and_one_that_does_not_converge_is_held_back(place):
    scan = place.client.calculate(
        "quantum-espresso",
        LIH,
        parameters={"ecutwfc": 12},
        scan={"field": [0.0, 0.002, 0.004]},
        analyses=["energy-profile"],
    )
    chain = [
        {"name": "cut", "parameters": {"iterations": 2, "corrections": 0}},
        {"name": "after", "parents": ["cut"], "parameters": {"field": 0.001}},
    ]
    stuck = place.client.calculate("quantum-espresso", LIH, parameters={"ecutwfc": 12, "field": 0.0}, steps=chain)
    scan.wait(150)
    steps = scan.info()["chain"]
    values = [{name: one["value"] for name, one in step["result"]["values"].items()} for step in steps]
    assert [one["started from"] for one in values] == ["atoms", "the parent's density", "the parent's density"]
    assert values[0]["energy"] != values[1]["energy"] != values[2]["energy"]
    profile = next(one for one in steps[2]["result"]["analyses"] if one["name"] == "energy-profile")
    assert (profile["state"], len(profile["tables"]["energies of the chain"]["rows"])) == ("done", 3), profile
    until(lambda: stuck.state == "unconverged", place.log)
    cut, after = stuck.info()["chain"]
    assert (cut["state"], after["state"]) == ("unconverged", "blocked")
    assert "convergence NOT achieved after   2 iterations" in cut["reason"]
    assert "JOB DONE." in stuck.log("cut")
    until(lambda: len(place.points()) == 3, place.log)
    assert {one["x"]["program"] for one in place.points()} == {"quantum-espresso"}
    assert {one["x"]["atoms"] for one in place.points()} == {2}
