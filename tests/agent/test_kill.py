"""An agent that is killed at every operation of the protocol: each step runs once, and each result counts once."""

import subprocess
import sys

import pytest

from tests.agent.contract_server import ContractServer
from tests.agent.sites import FINAL, settled, site
from tests.slurm import until

pytestmark = pytest.mark.one_database

PARTS = 9


@pytest.fixture
def server():
    made = ContractServer()
    made.interval = 0.2
    yield made
    made.close()


def run(made, at):
    """Start an agent that is killed at its Nth operation."""
    with open(made.folder / "agent.log", "ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "tests.agent.killed_agent", str(at), str(made.file), str(made.folder / "operations")],
            env=made.environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip


def passed(made):
    return (made.folder / "operations").read_text().splitlines()


def operations(server, made):
    """What an undisturbed agent does for one step that is corrected once, from its start to its end."""
    step = server.add(converged=False)
    process = run(made, 0)
    try:
        settled(server, step, made=made)
        assert server.steps[step]["state"] in FINAL
        until(lambda: len(server.observations) >= 2, made.log)
    finally:
        process.terminate()
        process.wait()
    return passed(made)


def torture(server, made, points):
    steps = []
    for point in points:
        steps.append(server.add())
        process = run(made, point)
        until(
            lambda process=process, steps=tuple(steps): (
                process.poll() is not None or all(server.steps[one]["state"] in FINAL for one in steps)
            ),
            made.log,
        )
        process.kill()
        process.wait()
    made.start()
    settled(server, *steps, made=made)
    until(lambda: len(server.observations) >= 2 * len(steps), made.log)
    for step in steps:
        assert (step, server.steps[step]["state"]) == (step, "done"), made.log()
        begun = made.attempts(step)
        assert len(begun) == 1, (begun, made.log())
        assert sum(one["state"] == "done" for one in server.steps[step]["results"]) == 1
    keys = [one["key"] for one in server.observations]
    assert sorted(set(keys)) == sorted(keys)


def test_killed_at_some_operations_each_step_runs_once(server, tmp_path):
    with site(tmp_path / "first", server.url) as made:
        total = len(operations(server, made))
    server.observations.clear()
    assert total > 60
    with site(tmp_path / "second", server.url) as made:
        torture(server, made, range(3, total, PARTS))


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_killed_at_every_operation_each_step_runs_once(server, tmp_path, part):
    with site(tmp_path / "first", server.url) as made:
        total = len(operations(server, made))
    server.observations.clear()
    with site(tmp_path / "second", server.url) as made:
        torture(server, made, range(1 + part, total, PARTS))
