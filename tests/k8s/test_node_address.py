"""How jobs find the server that Usernetes runs: a script that asks kubectl, here a recorded one."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.k8s.manifests import K8S

pytestmark = pytest.mark.one_database

SCRIPT = K8S / "overlays" / "usernetes" / "url.sh"


def ask(directory: Path, answer: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run the script where `kubectl` answers so, and keeps how it was asked."""
    recorded = directory / "kubectl"
    recorded.write_text(f"#!/bin/sh\necho \"$@\" >{directory}/asked\nprintf '%s' '{answer}'\nexit {code}\n")
    recorded.chmod(0o755)
    return subprocess.run(
        [str(SCRIPT)], env=os.environ | {"PATH": f"{directory}:{os.environ['PATH']}"}, capture_output=True, text=True, check=False
    )  # fmt: skip


def test_it_prints_the_address_of_the_host_whose_node_has_the_pod(tmp_path: Path):
    done = ask(tmp_path, "u7s-u2204-05")
    assert (done.returncode, done.stdout, done.stderr) == (0, "http://u2204-05:8080\n", "")
    asked = (tmp_path / "asked").read_text()
    assert "--namespace tailrace" in asked and "status.phase=Running" in asked
    assert "app.kubernetes.io/name=tailrace,app.kubernetes.io/component=server" in asked


def test_a_node_that_is_called_as_its_host_is_taken_as_it_is(tmp_path: Path):
    assert ask(tmp_path, "node7").stdout == "http://node7:8080\n"


@pytest.mark.parametrize(("answer", "code"), [("", 0), ("", 1)])
def test_it_says_that_no_server_runs(tmp_path: Path, answer: str, code: int):
    done = ask(tmp_path, answer, code)
    assert done.returncode == 1 and done.stdout == "" and "no server runs in the namespace tailrace" in done.stderr
