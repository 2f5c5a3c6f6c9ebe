"""Importing `tailrace.tracking` is light: a training imports it on file systems that are slow to import from."""

import json
import subprocess
import sys

import pytest

from tests.client.running import environment

pytestmark = pytest.mark.one_database

HEAVY = {
    "asyncio", "email", "hashlib", "http", "logging", "multiprocessing", "numpy", "pathlib", "pickle", "random", "shutil",
    "socket", "ssl", "subprocess", "tempfile", "typing", "urllib", "wandb",
}  # fmt: skip
"""What starting to track has no business to import."""

PROGRAM = "import json, sys; {}; print(json.dumps(list(sys.modules)))"


def imported(line):
    done = subprocess.run(
        [sys.executable, "-S", "-c", PROGRAM.format(line)],
        env=environment(), capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    return json.loads(done.stdout)


def test_the_package_imports_its_names_on_first_use():
    found = imported("import tailrace.tracking")
    assert [name for name in found if name.startswith("tailrace")] == [
        "tailrace.version",
        "tailrace",
        "tailrace.tracking",
    ]


def test_the_tracker_imports_nothing_heavy():
    found = imported("from tailrace.tracking import ExperimentTracker, ExperimentConfig, Run, NeuralOperatorMetrics")
    assert {name.partition(".")[0] for name in found} & HEAVY == set()
    assert not any(
        name.startswith(("tailrace.tracking.senders.mlflow", "tailrace.tracking.importers")) for name in found
    )


def test_every_public_name_is_there_and_has_a_docstring():
    from tailrace import tracking

    for name in tracking.__all__:
        assert getattr(tracking, name).__doc__, name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        tracking.nothing  # noqa: B018
