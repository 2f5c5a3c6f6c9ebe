"""The page for one machine, walked word for word."""

import os
from pathlib import Path

import pytest

from tests.containers.podman import environment, podman
from tests.walks import walk

pytestmark = pytest.mark.one_database


def test_the_page_for_one_machine_works_word_for_word(tmp_path: Path):
    own = f"tailrace-test-{os.getpid()}"  # nobody's own server is touched
    names = {
        name: f"{own}-{name}"
        for name in ("tailrace-server", "tailrace-data", "tailrace-secret-key", "tailrace-password")
    }
    variables = {name: environment()[name] for name in ("CONTAINERS_CONF",) if name in environment()}
    try:
        walk("one-machine", tmp_path, replace=names, **variables)
        for kind, name in (
            ("container", "server"),
            ("volume", "data"),
            ("secret", "password"),
            ("secret", "secret-key"),
        ):
            assert podman(kind, "inspect", names[f"tailrace-{name}"], ok=False).returncode != 0, f"the {name} is left"
    finally:
        podman("rm", "--force", "--time", "0", names["tailrace-server"], ok=False)
        podman("volume", "rm", "--force", names["tailrace-data"], ok=False)
        podman("secret", "rm", names["tailrace-secret-key"], names["tailrace-password"], ok=False)
