"""The epilogue as a cluster has it: a checkout, and some Python in which nothing is installed."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pythons import PYTHONS, found
from tests.serving import ROOT

pytestmark = pytest.mark.one_database

FIXTURES = Path(__file__).with_name("fixtures")
DOCUMENTED = re.findall(
    r"(?m)^.*python3? -m lammps_jobs\.epilogue.*$", (ROOT / "docs" / "how-to" / "epilogues.md").read_text()
)


def report(
    line: str, python: str, directory: Path, url: str, checkout: Path = ROOT
) -> subprocess.CompletedProcess[str]:
    """Run a line of a job script in the job's directory, on a Python without site-packages."""
    programs = directory / "bin"
    programs.mkdir()
    for name in ("python", "python3"):
        (programs / name).write_text(f'#!/bin/sh\nexec {shlex.quote(python)} -S "$@"\n')
        (programs / name).chmod(0o755)
    job = directory / "job"
    job.mkdir()
    for name in ("log.lammps", "second.log"):
        shutil.copy(FIXTURES / "mpi.log", job / name)
    environment = {
        "HOME": str(directory), "PATH": f"{programs}:{os.environ['PATH']}", "TAILRACE_URL": url,
        "TAILRACE_SPOOL": str(directory / "spool"),
    }  # fmt: skip
    return subprocess.run(
        ["sh", "-c", line.replace("/opt/tailrace", str(checkout))],
        cwd=job, env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_the_page_has_lines_to_try():
    assert len(DOCUMENTED) >= 2


@pytest.mark.parametrize("line", DOCUMENTED)
@pytest.mark.parametrize("version", PYTHONS)
def test_each_documented_line_reports_from_a_bare_python(tmp_path, peer, version, line):
    done = report(line, PYTHONS[version], tmp_path, peer.url)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "tailrace: observation 1 of lammps-runtime: 0.0158455\n"
    assert peer.requests[0][2]["x"] == {"processes": 2, "x": 2, "y": 2, "z": 3}


def test_the_client_beside_it_is_used_and_not_another_one_that_is_installed(tmp_path, peer):
    other = tmp_path / "other" / "tailrace"
    other.mkdir(parents=True)
    (other / "__init__.py").write_text("raise ImportError('too old')\n")
    line = DOCUMENTED[0].replace("/opt/tailrace", f"/opt/tailrace:{other.parent}")
    assert report(line, sys.executable, tmp_path, peer.url).returncode == 0
    assert len(peer.keys) == 1


@pytest.mark.parametrize("missing", ["the client", "a module of the client", "a module of its own"])
def test_whatever_is_missing_it_says_one_line_and_does_not_fail_the_job(tmp_path, peer, missing):
    checkout = tmp_path / "checkout"
    ignored = shutil.ignore_patterns("__pycache__", "bonds", "sweep", "estimators")
    shutil.copytree(ROOT / "lammps_jobs", checkout / "lammps_jobs", ignore=ignored)
    if missing != "the client":
        shutil.copytree(ROOT / "client", checkout / "client", ignore=ignored)
    if missing == "a module of the client":
        (checkout / "client" / "tailrace" / "posting" / "post.py").unlink()
    elif missing == "a module of its own":
        (checkout / "lammps_jobs" / "logs" / "log_reader.py").unlink()
    done = report(DOCUMENTED[0], sys.executable, tmp_path, peer.url, checkout)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith("tailrace: nothing posted: No module named ")
    assert len(done.stderr.splitlines()) == 1
    assert peer.requests == []


@pytest.mark.parametrize("version", ["3.6", "3.7", "3.8"])
def test_a_python_that_is_too_old_is_named_and_does_not_fail_the_job(tmp_path, peer, version):
    python = found(version)
    if python is None:
        pytest.skip(f"there is no Python {version}")
    done = report(DOCUMENTED[0], python, tmp_path, peer.url)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith(f"tailrace: nothing posted: Python 3.9 or later is needed, this is {version}.")
    assert len(done.stderr.splitlines()) == 1
