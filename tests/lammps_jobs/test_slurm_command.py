"""`python -m tests.slurm run`, which a walk through the epilogues begins with."""

import subprocess
import sys

import pytest

from tests.serving import ROOT

pytestmark = pytest.mark.one_database


def test_a_folder_that_is_there_is_named_in_one_line(tmp_path):
    command = [sys.executable, "-m", "tests.slurm", "run", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"{tmp_path} is there already: name a folder that isn't, or remove it\n"
