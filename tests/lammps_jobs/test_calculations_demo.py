"""The demo of calculations as a user runs it: a real server, a real agent, tblite and LAMMPS."""

import os
import re
import subprocess
import sys

import pytest

from tests.serving import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("demo"), pytest.mark.one_database]


def test_a_scan_is_chained_one_is_held_back_and_the_wall_times_are_learned(tmp_path):
    own = {name: value for name, value in os.environ.items() if not name.startswith(("TAILRACE_", "SLURM_"))}
    done = subprocess.run(
        [sys.executable, "-m", "lammps_jobs.calculations_demo", "--steps", "2"],
        cwd=ROOT, env=own | {"TAILRACE_VAR_DIR": str(tmp_path), "SLURM_CONF": "/dev/null"},
        capture_output=True, text=True, timeout=280, stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    said = done.stdout
    assert done.returncode == 0, said + done.stderr
    assert "Does not converge · two-iterations: unconverged: SCF not converged in 2 cycles" in said
    assert "Does not converge · after-it: blocked" in said
    assert re.search(r"2-30 +30 +-246\.\d+ +\d+ +the parent's state", said), said
    assert "has learned the wall times of 4 steps of two programs" in said
    place = tmp_path / "demo-calculations" / "1"
    assert "Torsion of hydrogen peroxide" in (place / "report.html").read_text()
    assert [path.name for path in place.glob("files/*/*.png")] == ["energy-profile.png"]
    assert (place / "tokens.json").stat().st_mode & 0o077 == 0
