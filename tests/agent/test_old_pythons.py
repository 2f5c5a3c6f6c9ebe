"""Login nodes are old: the agent on every Python from 3.9 to 3.13 that is at hand."""

import importlib.util
import shutil
from pathlib import Path

import pytest

from tests.agent.contract_server import ContractServer
from tests.agent.sites import settled, site
from tests.client.test_old_pythons import FIRST_AND_REST
from tests.pythons import PYTHONS
from tests.slurm import until

pytestmark = pytest.mark.one_database


@pytest.mark.parametrize("version", FIRST_AND_REST)
def test_it_runs_a_chain_is_killed_and_goes_on(version, tmp_path):
    if version in ("3.9", "3.10"):  # which have no tomllib
        tomli = Path(importlib.util.find_spec("tomli").origin).parent
        shutil.copytree(tomli, tmp_path / "lib" / "tomli", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    server = ContractServer()
    server.model = 200, {"prediction": 100.0, "interval": [50.0, 200.0], "at": 57}
    environ = {"PYTHONPATH": str(tmp_path / "lib"), "PYTHONNOUSERSITE": "1"}
    try:
        with site(tmp_path / "site", server.url, python=PYTHONS[version], environ=environ) as made:
            step = server.add(seconds=1, answer=7, limit=3600, analyses=["double"])
            child = server.add(parents=[step])
            made.start()
            until(lambda: server.steps[step]["state"] == "running", made.log)
            made.kill()
            made.start()
            (one, two) = settled(server, step, child, made=made)
            until(lambda: len(server.observations) == 4, made.log)
            assert made.stop() == 0
    finally:
        server.close()
    assert (one["state"], two["state"], one["walltime"]["seconds"]) == ("done", "done", 300), made.log()
    assert one["results"][0]["analyses"][0]["values"]["double"]["value"] == 14
    assert [len(made.attempts(name)) for name in (step, child)] == [1, 1]
