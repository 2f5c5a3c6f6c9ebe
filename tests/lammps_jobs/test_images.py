"""The image's recipes, as far as they can be held against the tests without building them."""

import re
import subprocess
from importlib import metadata

import pytest

from tests.serving import ROOT

pytestmark = pytest.mark.one_database

DOCKERFILE = (ROOT / "Dockerfile.client").read_text()
SERVER = (ROOT / "Dockerfile").read_text()
DEFINITION = (ROOT / "lammps_jobs" / "tailrace.def").read_text()
SCRIPT = (ROOT / "lammps_jobs" / "image.sh").read_text()


def test_what_is_put_in_is_what_the_tests_run():
    (select,) = re.findall(r"\$\((sed -n .*) \"\$requirements\"\)", SCRIPT)
    pinned = subprocess.run(
        f"{select} {ROOT}/requirements/jobs.txt", shell=True, capture_output=True, text=True, check=True, timeout=60
    ).stdout.split()
    assert sorted(pinned) == [f"{name}=={metadata.version(name)}" for name in ("lammps", "mpich")]


def test_both_kinds_of_image_are_made_by_one_script_on_one_base():
    assert " /tmp/image.sh /tmp/jobs.txt\n" in DOCKERFILE
    assert "lammps_jobs/image.sh /tmp/jobs.txt" in DEFINITION
    bases = set(re.findall(r"(?:^ARG BASE=docker\.io/library/|^From: )(\S+)", DOCKERFILE + SERVER + DEFINITION, re.M))
    assert bases == {"python:3.11-slim-bookworm"}
    assert set(re.findall(r"^FROM (\S+)", DOCKERFILE, re.M)) == {"${BASE}"}
    assert set(re.findall(r"^FROM (\S+)", SERVER, re.M)) == {"${BASE}", "system", "scratch"}


def test_it_runs_as_nobody_special_and_holds_no_server():
    assert re.findall(r"^USER (\d+)", DOCKERFILE, re.M) == ["1000"]
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE, re.M)
    assert copied == ["requirements/jobs.txt lammps_jobs/image.sh", "client/tailrace", "lammps_jobs"]


@pytest.mark.parametrize(
    "script",
    [
        *sorted((ROOT / "lammps_jobs" / "epilogues").glob("*.sh")),
        *sorted((ROOT / "images").glob("*.sh")),
        ROOT / "lammps_jobs" / "image.sh",
    ],
    ids=lambda path: path.name,
)
def test_every_script_is_for_any_shell_and_says_how_it_is_used(script):
    subprocess.run(["sh", "-n", str(script)], check=True, timeout=60)
    lines = script.read_text().splitlines()
    sourced = script.name == "trap.sh"
    assert lines[0].startswith("# " if sourced else "#!/bin/")
    assert sum(line.startswith("#") for line in lines[:12]) >= 3
    assert bool(script.stat().st_mode & 0o111) is not sourced
