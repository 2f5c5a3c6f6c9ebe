"""The demo of campaigns for real: killed three times, a campaign ends as an undisturbed one does."""

import os
import subprocess
import sys

import pytest

from lammps_jobs.campaign_demo import outcome
from tests.serving import ROOT


@pytest.mark.slow
@pytest.mark.one_database
@pytest.mark.xdist_group("demo")
@pytest.mark.timeout(900)
def test_a_campaign_that_is_killed_three_times_ends_as_an_undisturbed_one(tmp_path):
    own = {name: value for name, value in os.environ.items() if not name.startswith(("TAILRACE_", "SLURM_"))}
    done = subprocess.run(
        [sys.executable, "-m", "lammps_jobs.campaign_demo", "--kill", "3", "--calculations", "4"],
        cwd=ROOT, env=own | {"TAILRACE_VAR_DIR": str(tmp_path), "COLUMNS": "200"}, capture_output=True, text=True,
        check=False, timeout=880,
    )  # fmt: skip
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert said.count("kill -9 of the whole server") == 3, said
    assert said.count("0 differ") == 2, said
    assert "It ended as the undisturbed one did" in said


def test_differences_between_two_outcomes_are_named():
    one = {"cells": {"a": {"first": 1}, "b": {"first": 2}}, "picks": [1, 2], "state": "stopped"}
    other = {"cells": {"a": {"first": 3}}, "picks": [1], "state": "stopped"}
    assert list(outcome.differences(one, other)) == [
        "cells.a.first: 1 and 3", 'cells.b: {"first": 2} and null', "picks: [1, 2] and [1]"
    ]  # fmt: skip
    assert list(outcome.differences(one, dict(one))) == []
